"""Libraries that transformers and accelerate import wherever they are installed, left out of jobs that do not use them.

That is a quarter of what a trainer imports, seconds of every start.
"""

import sys
from collections.abc import Iterable, Iterator

from finetune_trainer.contract.extensions import Extensions
from finetune_trainer.contract.run_config import RunConfig

OPTIMIZERS_OF_TORCH = frozenset({None, "adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop"})
"""Those that need neither bitsandbytes nor another library; none means the default, which is one of them."""


def leave_out(names: Iterable[str]) -> None:
    """Tell Python that there are no such libraries, before transformers is imported."""
    for name in names:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # As the import system says it.


def unused(config: RunConfig) -> Iterator[str]:
    """The libraries that a job does without; none where an author's own code may ask for any."""
    if config.extensions != Extensions() or config.model.trust_remote_code:
        return
    if config.distributed.deepspeed is None:
        yield "deepspeed"
    if config.peft is None:
        yield "peft"
        if config.training.optim in OPTIMIZERS_OF_TORCH:
            yield "bitsandbytes"
