"""What does not fit together although each part is right: found before the first step rather than by it."""

from typing import Any

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.data import streams
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.prepared import Prepared


def check(config: RunConfig, args: Any, ready: Prepared) -> None:
    """Refuse a prepared job that would end in its first step, or make none."""
    _refuse_strange_tokens(config, ready)
    _refuse_no_batch(args, ready)
    _refuse_schedule(args)
    _refuse_optimizer(args, ready)


def _refuse_strange_tokens(config: RunConfig, ready: Prepared) -> None:
    """A token that the model has no row for is an error deep in the model, and on a GPU not even a readable one."""
    try:
        known = int(ready.model.get_input_embeddings().num_embeddings)
        words = len(ready.processing_class)
    except (AttributeError, TypeError, NotImplementedError):
        return  # Images, or embeddings of another kind.
    if words <= known or (largest := _largest_token(ready)) < known:
        return
    raise ConfigurationError(
        "TokenizerDoesNotFit",
        f"The tokenizer of {config.tokenizer.uri or config.model.uri} knows {words} tokens, the model {known}, and the "
        f"training data hold token {largest}. Name the model's own tokenizer in tokenizer.uri, or leave that out.",
    )


def _largest_token(ready: Prepared) -> int:
    table = ready.train_dataset
    if "input_ids" not in (getattr(table, "column_names", None) or ()):
        return len(ready.processing_class) - 1  # Examples that are made as they are read: nobody can look.
    pad = ready.processing_class.pad_token_id or 0
    largest = [pad]
    for batch in streams.head(table).select_columns(["input_ids"]).iter(1000):
        largest += [max(ids, default=0) for ids in batch["input_ids"]]
    return max(largest)


def _refuse_no_batch(args: Any, ready: Prepared) -> None:
    wanted = args.per_device_train_batch_size * args.world_size
    if not args.dataloader_drop_last or not hasattr(ready.train_dataset, "__len__"):
        return
    if len(ready.train_dataset) < wanted:
        raise ConfigurationError(
            "EmptyDataset",
            f"The training split has {len(ready.train_dataset)} examples, fewer than a batch of {wanted}, and "
            "training.dataloader_drop_last leaves none. Turn that off, or lower training.per_device_train_batch_size.",
        )


def _refuse_schedule(args: Any) -> None:
    import torch
    import transformers

    still = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=args.learning_rate)
    try:
        transformers.get_scheduler(
            args.lr_scheduler_type,
            optimizer=still,
            num_warmup_steps=args.get_warmup_steps(1000),
            num_training_steps=1000,
            scheduler_specific_kwargs=dict(args.lr_scheduler_kwargs or {}),
        )
    except (ValueError, TypeError) as problem:
        said = str(problem).rstrip(".")
        raise ConfigurationError(
            "TrainingArgumentsRefused",
            f"transformers refuses training.lr_scheduler_kwargs of {args.lr_scheduler_type.value}: {said}. Correct "
            "them.",
        ) from problem


def _refuse_optimizer(args: Any, ready: Prepared) -> None:
    import transformers

    try:
        transformers.Trainer.get_optimizer_cls_and_kwargs(args, ready.model)
    except (ImportError, ValueError) as problem:
        said = str(problem).strip().splitlines()[0].rstrip(".")
        raise ConfigurationError(
            "TrainingArgumentsRefused",
            f"training.optim {getattr(args.optim, 'value', args.optim)} cannot be used here: {said}. Choose another "
            "one, for example adamw_torch.",
        ) from problem
