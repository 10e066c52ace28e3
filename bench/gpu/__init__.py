"""LoRA of a language model: our trainer beside the stock Trainer and TRL's, on one GPU.

The same weights, examples, order and collator for all, as the same losses show. On a GPU one runs after the other, in
turn; on processors, where figures mean nothing, two at the same time, each on a core of its own.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.figures import keep, machine, median, table
from bench.gpu.sizes import LLAMA_8B, TINY, Size, job
from bench.trainings import Ran, scripted, supervised

__all__ = ["LLAMA_8B", "SIDES", "TINY", "kept", "measured", "shown"]

FLOOR = "plain Trainer"
SIDES = ("ours", FLOOR, "TRL")
Turn = dict[str, Ran | str]
"""What sides have shown that ran beside each other; of one that failed, the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Runs of one size, each in a folder of its own."""

    folder: Path
    size: Size
    facts: Mapping[str, Any]

    @property
    def has_device(self) -> bool:
        """Whether there is a GPU."""
        return self.facts["device"] is not None

    def run(self, side: str, core: int | None) -> Ran | str:
        """One side, once; the others go on without one that fails."""
        threads = max(1, (os.cpu_count() or 1) // 2) if self.has_device else 1
        config = job(self.folder, self.size, model="model", threads=threads)
        work = Path(tempfile.mkdtemp(prefix=f"{side.replace(' ', '-')}-", dir=self.folder)) / "work"
        try:
            if side == "ours":
                return supervised(work, config, core, {}, settled=self.size.settled)
            script = ("bench.gpu.plain", "trainer" if side == FLOOR else "trl")
            return scripted(work, config, core, script, threads=threads, settled=self.size.settled)
        except RuntimeError as problem:
            return str(problem)[-1500:]


def kept(folder: Path, size: Size, name: str, sides: Sequence[str] = SIDES) -> str:
    """Measure, and keep what is measured at once; the figures as a table."""
    before, found = machine(), {}
    for found in measured(folder, size, sides):
        keep(name, found, before)
    return shown(found)


def measured(folder: Path, size: Size, sides: Sequence[str] = SIDES) -> Iterator[dict[str, Any]]:
    """All figures so far, after each run."""
    runs = Runs(folder=folder, size=size, facts=material(folder, size))
    there = [side for side in sides if side != "TRL" or importlib.util.find_spec("trl")]
    turns: list[Turn] = []
    for number in range(size.turns):
        for _ in (in_turn if runs.has_device else at_once)(runs, there, number, turns):
            yield figures(runs, turns)


def material(folder: Path, size: Size) -> dict[str, Any]:
    """The model and the data, made where they are not there yet; what is known of them."""
    facts = folder / "facts.json"
    if not facts.exists() or json.loads(facts.read_text())["size"] != asdict(size):
        command = (sys.executable, "-m", "bench.gpu.material", str(folder), json.dumps(asdict(size)))
        made = subprocess.run(command, check=False, capture_output=True, text=True)
        if made.returncode:
            raise RuntimeError(made.stderr[-3000:])
    found: dict[str, Any] = json.loads(facts.read_text())
    return found


def in_turn(runs: Runs, sides: Sequence[str], number: int, turns: list[Turn]) -> Iterator[None]:
    """One side after the other; in every second turn the other way round."""
    turns.append({})
    for side in reversed(sides) if number % 2 else sides:
        turns[-1][side] = runs.run(side, None)
        yield


def at_once(runs: Runs, sides: Sequence[str], number: int, turns: list[Turn]) -> Iterator[None]:
    """Every other side at the same time as the floor; they change cores each turn."""
    core = number % 2
    with ThreadPoolExecutor(2) as both:
        for side in sides:
            if side != FLOOR:
                one, floor = both.submit(runs.run, side, core), both.submit(runs.run, FLOOR, 1 - core)
                turns.append({side: one.result(), FLOOR: floor.result()})
                yield


def figures(runs: Runs, turns: Sequence[Turn]) -> dict[str, Any]:
    """The figures of every side, beside the floor's of the same turn."""
    good = [{side: one for side, one in turn.items() if isinstance(one, Ran)} for turn in turns]
    found = {side: of_side(runs, ran) for side in SIDES if (ran := [turn[side] for turn in good if side in turn])}
    for side, one in found.items():
        ratios = [turn[side].rate / turn[FLOOR].rate for turn in good if {side, FLOOR} <= set(turn)]
        one["ratio"] = round(fmean(ratios), 3) if ratios else None
        one["ratios"] = [round(ratio, 3) for ratio in ratios]
    failed = {side: one for turn in turns for side, one in turn.items() if isinstance(one, str)}
    return {"facts": runs.facts, "sides": found, "failed": failed}


def of_side(runs: Runs, ran: Sequence[Ran]) -> dict[str, Any]:
    """The figures of one side alone."""
    tokens = runs.facts["tokens_per_step"] * median(each.rate for each in ran)
    peak = runs.facts["peak"]
    said = [row["mfu"] for row in ran[-1].rows[1:] if "mfu" in row]
    losses = [row["loss"] for row in ran[-1].rows if "loss" in row]
    return {
        "tokens_per_second": round(tokens),
        "step_ms": round(1000 / median(each.rate for each in ran), 1),
        "slowest_step_ms": round(1000 * max(max(each.intervals) for each in ran), 1),
        "peak_mib": round(max(each.peak_mib for each in ran)),
        "first_step_s": round(median(each.start for each in ran), 1),
        "mfu": round(runs.size.operations(runs.facts["attended"]) * tokens / peak, 3) if peak else None,
        "mfu_said": round(median(said), 3) if said else None,
        "losses": [losses[0], losses[-1]],
        "phases_s": dict(ran[-1].phases),
    }


def shown(found: Mapping[str, Any]) -> str:
    """The figures as a table."""
    head = ("by", "tokens/s", "of plain", "ms a step", "peak MiB", "MFU", "it says", "first loss")
    keys = ("tokens_per_second", "ratio", "step_ms", "peak_mib", "mfu", "mfu_said")
    rows = [
        (side, *("" if one[key] is None else one[key] for key in keys), f"{one['losses'][0]:.4f}")
        for side, one in found["sides"].items()
    ]
    size, device = found["facts"]["size"], found["facts"]["device"] or "processors"
    title = f"LoRA of {size['name']} in bf16, {size['batch']} x {size['length']} tokens a step, on {device}"
    return "\n".join([table(title, head, rows), *(f"{side} failed:\n{why}" for side, why in found["failed"].items())])
