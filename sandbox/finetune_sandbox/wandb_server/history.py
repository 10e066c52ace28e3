"""What a run streams: history, system events, summary and console, each line at its absolute position."""

import json
from typing import Any

from finetune_sandbox.wandb_server.graphql import Json
from finetune_sandbox.wandb_server.store import Row, Store, attributes

HISTORY = "wandb-history.jsonl"
EVENTS = "wandb-events.jsonl"
SUMMARY = "wandb-summary.json"
CONSOLE = "output.log"


def receive(store: Store, run: Row, sent: Json, now: float) -> Json:
    """Take one request of the stream; the same lines sent twice are stored once."""
    with store.transaction():
        said = attributes(run)
        for name, chunk in (sent.get("files") or {}).items():
            if name == SUMMARY:
                said["summary"] = json.loads(chunk["content"][-1])
                continue
            for position, line in enumerate(chunk["content"], int(chunk["offset"])):
                store.write("INSERT OR REPLACE INTO lines VALUES (?, ?, ?, ?)", run["id"], name, position, line)
        if sent.get("complete"):
            said["exit_code"] = sent.get("exitcode", 0)
        store.write(
            "UPDATE runs SET attributes = ?, state = ?, heartbeat = ? WHERE id = ?",
            json.dumps(said),
            state_after(run["state"], sent),
            now,
            run["id"],
        )
    return {"stopped": bool(said.get("stop_requested"))}


def state_after(state: str, sent: Json) -> str:
    """The run's state once it has heard this request."""
    preempting = state == "preempting" or bool(sent.get("preempting"))
    if not sent.get("complete"):
        return "preempting" if preempting else "running"
    if sent.get("exitcode", 0) == 0:
        return "finished"
    return "preempted" if preempting else "failed"


def lines(store: Store, run: int, file: str) -> list[str]:
    """A stream's lines in order."""
    rows = store.rows("SELECT line FROM lines WHERE run = ? AND file = ? ORDER BY position", run, file)
    return [each["line"] for each in rows]


def cut(store: Store, run: Row, step: int) -> None:
    """Forget the history after a step."""
    kept = [each for each in lines(store, run["id"], HISTORY) if json.loads(each)["_step"] <= step]
    with store.transaction():
        store.write("DELETE FROM lines WHERE run = ? AND file = ? AND position >= ?", run["id"], HISTORY, len(kept))
        summary = json.loads(kept[-1]) if kept else {}
        said = json.dumps(attributes(run) | {"summary": summary})
        store.write("UPDATE runs SET attributes = ? WHERE id = ?", said, run["id"])


def views(store: Store, run: Row) -> Json:
    """The streams as the API shows them, each read only when asked for."""
    number = run["id"]
    return {
        "historyLineCount": lambda _: _line_count(store, number, HISTORY),
        "eventsLineCount": lambda _: _line_count(store, number, EVENTS),
        "logLineCount": lambda _: _line_count(store, number, CONSOLE),
        "historyTail": lambda _: _tail(store, number, HISTORY),
        "eventsTail": lambda _: _tail(store, number, EVENTS),
        "history": lambda asked: _window(lines(store, number, HISTORY), asked),
        "events": lambda asked: _window(lines(store, number, EVENTS), asked),
        "sampledHistory": lambda asked: [_sampled(_rows(store, number), json.loads(each)) for each in asked["specs"]],
        "parquetHistory": lambda _: {"parquetUrls": [], "liveData": _rows(store, number)},
        "historyKeys": lambda _: _keys(_rows(store, number)),
        "systemMetrics": lambda _: (lines(store, number, EVENTS) or ["{}"])[-1],
    }


def _line_count(store: Store, run: int, file: str) -> int:
    return store.count("SELECT MAX(position) + 1 FROM lines WHERE run = ? AND file = ?", run, file)


def _tail(store: Store, run: int, file: str) -> str:
    query = "SELECT line FROM lines WHERE run = ? AND file = ? ORDER BY position DESC LIMIT 1"
    return json.dumps([each["line"] for each in store.rows(query, run, file)])


def _rows(store: Store, run: int) -> list[Json]:
    return [json.loads(each) for each in lines(store, run, HISTORY)]


def _window(found: list[str], asked: Json) -> list[str]:
    first, last = asked.get("minStep"), asked.get("maxStep")
    if first is not None or last is not None:
        lowest, beyond = int(first or 0), float("inf") if last is None else int(last)
        return [each for each in found if lowest <= json.loads(each).get("_step", 0) < beyond]
    return _thinned(found, asked.get("samples"))


def _sampled(rows: list[Json], spec: Json) -> list[Json]:
    keys = spec.get("keys")
    if keys:
        rows = [{key: each[key] for key in keys} for each in rows if all(key in each for key in keys)]
    return _thinned(rows, spec.get("samples"))


def _thinned(found: list[Any], samples: int | None) -> list[Any]:
    if not samples or len(found) <= samples:
        return found
    return [found[position * len(found) // samples] for position in range(samples)]


def _keys(rows: list[Json]) -> Json:
    counts: dict[str, int] = {}
    for row in rows:
        for key in row:
            counts[key] = counts.get(key, 0) + 1
    last = max((int(each.get("_step", -1)) for each in rows), default=-1)
    keys = {key: {"typeCounts": [{"type": "number", "count": count}]} for key, count in counts.items()}
    return {"lastStep": last, "keys": keys, "sets": []}
