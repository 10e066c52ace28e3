"""`python -m bench.gpu.material FOLDER SIZE`: a Llama of random weights, conversations, and these packed.

SIZE is a size as JSON. `facts.json` then says what the figures follow from: tokens, the device and its peak.
"""

import json
import random
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.gpu.sizes import TINY, Size, job

WORDS = tuple(f"w{number}" for number in range(900))
TURNS = (1, 4)
LENGTHS = (10, 200)
"""Words of a turn."""
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|> ' + message['content'] + ' <|end|> ' }}{% endfor %}"
)
SPECIAL = ("<|pad|>", "<|unknown|>", "<|user|>", "<|assistant|>", "<|end|>")


def main(folder: Path, size: Size) -> None:
    """Write it all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, shape in (("model", size), ("scribe", replace(TINY, length=size.length))):
        _model(folder / name, shape)
        _tokenizer(folder / name, size.length)
    with (folder / "talks.jsonl").open("w") as file:
        file.writelines(json.dumps({"messages": talk}) + "\n" for talk in _talks(size))
    (folder / "facts.json").write_text(json.dumps(_packed(folder, size) | _device() | {"size": asdict(size)}))


def _model(folder: Path, size: Size) -> None:
    import torch
    import transformers

    if (folder / "tokenizer.json").exists():  # Written after the weights.
        return
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        **size.architecture, pad_token_id=SPECIAL.index("<|pad|>"), eos_token_id=SPECIAL.index("<|end|>")
    )
    # Eight billion numbers are drawn in seconds on a GPU, and in minutes on processors.
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)


def _tokenizer(folder: Path, longest: int) -> None:
    """One token for each word."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *WORDS))}
    raw = Tokenizer(models.WordLevel(vocabulary, "<|unknown|>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    named = {"pad_token": "<|pad|>", "unk_token": "<|unknown|>", "eos_token": "<|end|>"}
    made = PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=longest, chat_template=TEMPLATE, **named)
    made.save_pretrained(folder)


def _talks(size: Size) -> list[list[dict[str, str]]]:
    """Conversations for a little more than the steps that are made."""
    dice, found, tokens = random.Random(1), [], 0  # noqa: S311 (sentences)
    while tokens < 1.1 * size.steps * size.batch * size.length:
        talk = [
            {"role": role, "content": " ".join(dice.choices(WORDS, k=dice.randint(*LENGTHS)))}
            for _ in range(dice.randint(*TURNS))
            for role in ("user", "assistant")
        ]
        tokens += min(size.length, sum(len(turn["content"].split()) + 2 for turn in talk))
        found.append(talk)
    return found


def _packed(folder: Path, size: Size) -> dict[str, Any]:
    """Pack the conversations as our trainer does; how many tokens that makes, and how many each attends to."""
    from finetune_trainer.config import plan, training_arguments
    from finetune_trainer.contract.run_config import RunConfig
    from finetune_trainer.tasks import prepared

    named = {"job": {"name": "bench", "namespace": "bench", "uid": "bench"}, "runId": "bench"}
    config = RunConfig.model_validate({**named, **job(folder, size, model="scribe", threads=1)})
    wanted = plan(config, 1)
    packs = prepared(config, wanted, training_arguments(wanted, folder / "unused"), folder / "cache").train_dataset
    used = packs.select(range(size.steps * size.batch))
    shutil.rmtree(folder / "packs", ignore_errors=True)
    used.save_to_disk(folder / "packs")
    positions = [one for row in used["position_ids"] for one in row]
    return {"tokens_per_step": len(positions) / size.steps, "attended": 1 + sum(positions) / len(positions)}


def _device() -> dict[str, Any]:
    """The device, and what it can do in 16 bits by the trainer's own table."""
    import torch
    from finetune_trainer.callbacks.speed import PEAKS

    versions = {"torch": torch.__version__}
    if not torch.cuda.is_available():
        return {**versions, "device": None, "peak": None}
    name = torch.cuda.get_device_name()
    return {**versions, "device": name, "peak": next((peak for part, peak in PEAKS if part in name), None)}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Size(**json.loads(sys.argv[2])))
