"""Old saves on the nodes after the first, where transformers removes none: every rank leaves its parts on its own."""

from typing import Any

import transformers
from transformers.trainer_utils import rotate_checkpoints

from finetune_trainer.callbacks.scene import Scene


def callback(_scene: Scene) -> "LaterNodes":
    """For every job: what it does depends on the rank alone."""
    return LaterNodes()


class LaterNodes(transformers.TrainerCallback):  # type: ignore[misc]  # transformers is untyped to us.
    """Lets a node hold as many saves as the first one, and the same."""

    def on_save(self, args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        """This node's parts of a save are written."""
        if args.local_process_index == 0 and args.process_index > 0:
            rotate_checkpoints(args.output_dir, args.save_total_limit, state.best_model_checkpoint)
