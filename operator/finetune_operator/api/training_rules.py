"""What the API server refuses about the training: sources, columns, tracking, distribution, arguments."""

from finetune_trainer.contract.refused_arguments import REFUSED

from finetune_operator import names
from finetune_operator.api.rule import Rule, refused


def needs(task: str, rule: str, columns: str) -> Rule:
    """A task and the columns without which it cannot be learned."""
    return Rule(
        at="spec",
        rule=f"self.task != '{task}' || !has(self.task) || !has(self.dataset) || ({rule})",
        message=f"The task {task} needs {columns}.",
        field=".dataset.columns",
    )


def has(*columns: str) -> str:
    """Whether the columns are named."""
    return " && ".join(f"has(self.dataset.columns.{column})" for column in columns)


ONE_TEXT = f"{has('text')} && size(self.dataset.columns.text) == 1"
ONE_OR_TWO_TEXTS = f"{has('text')} && size(self.dataset.columns.text) in [1, 2]"

COLUMNS = (
    needs(
        "text-classification",
        f"{ONE_OR_TWO_TEXTS} && {has('label')}",
        "dataset.columns.text with one or two columns, and dataset.columns.label",
    ),
    needs("token-classification", has("tokens", "tags"), "dataset.columns.tokens and dataset.columns.tags"),
    needs(
        "question-answering",
        has("question", "context", "answers"),
        "dataset.columns.question, dataset.columns.context and dataset.columns.answers",
    ),
    needs("fill-mask", ONE_TEXT, "dataset.columns.text with one column"),
    needs("text-generation", ONE_TEXT, "dataset.columns.text with one column"),
    needs("summarization", has("source", "target"), "dataset.columns.source and dataset.columns.target"),
    needs("translation", has("source", "target"), "dataset.columns.source and dataset.columns.target"),
    needs(
        "multiple-choice",
        f"{has('choices', 'label')} && size(self.dataset.columns.choices) >= 1",
        "dataset.columns.choices and dataset.columns.label",
    ),
    needs("image-classification", has("image", "label"), "dataset.columns.image and dataset.columns.label"),
    needs(
        "conversational",
        f"{has('messages')} != ({has('prompt', 'completion')})",
        "either dataset.columns.messages, or dataset.columns.prompt and dataset.columns.completion",
    ),
    needs("preference", has("chosen", "rejected"), "dataset.columns.chosen and dataset.columns.rejected"),
)


def only_for(tasks: tuple[str, ...], at: str, *fields: str) -> tuple[Rule, ...]:
    """Fields of a block that mean something to some tasks alone."""
    listed = ", ".join(f"'{task}'" for task in tasks)
    *others, last = tasks
    named = f"{', '.join(others)} and {last}" if others else last
    return tuple(
        Rule(
            at="spec",
            rule=f"!has(self.{at}.{field}) || !has(self.{at}) || !has(self.task) || self.task in [{listed}]",
            message=f"{field} is for {named}; leave it out.",
            field=f".{at}.{field}",
        )
        for field in fields
    )


GENERATING = ("summarization", "translation")

TASK_FIELDS = (
    *only_for(("fill-mask",), "dataset", "maskProbability"),
    *only_for(("text-classification", "token-classification", "image-classification"), "dataset", "labelWeights"),
    *only_for(("question-answering",), "tokenizer", "stride"),
    *only_for(GENERATING, "tokenizer", "prefix", "maxTargetLength", "sourceLanguage", "targetLanguage"),
    *only_for(GENERATING, "evaluation", "generation"),
)

AUGMENT = "!has(self.dataset.augment) || !has(self.dataset) || !has(self.task)"
OF_IMAGES = "['horizontal-flip', 'random-crop']"

AUGMENTATION = (
    Rule(
        at="spec",
        rule=f"{AUGMENT} || self.task in ['text-classification', 'multiple-choice', 'summarization', "
        "'image-classification']",
        message="augment is for text-classification, multiple-choice, summarization and image-classification; the "
        "other tasks learn the words themselves or where they stand, so leave it out.",
        field=".dataset.augment",
    ),
    Rule(
        at="spec",
        rule=f"{AUGMENT} || self.dataset.augment.all(one, (one in {OF_IMAGES}) == (self.task == "
        "'image-classification'))",
        message="horizontal-flip and random-crop vary images, the others texts; choose those of the task.",
        field=".dataset.augment",
    ),
)

NAME = Rule(
    at="",
    rule=f"size(self.metadata.name) <= {names.MAX_JOB_NAME} "
    "&& self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    message=f"A job's name has at most {names.MAX_JOB_NAME} characters, a-z, 0-9 and -, and begins with a letter, for "
    "pods and hosts are named after it; choose another metadata.name.",
)

URI = r"^(hf://[\\w.-]+(/[\\w.-]+)?|file:///.+|wandb://[^/]+/[^/]+/[^/]+|s3://.+|gs://.+)$"
URI_FORMS = "hf://owner/name, file:///path, wandb://entity/project/artifact:alias, s3://bucket/key or gs://bucket/key"
HTTP = "^https?://.+"


def uri(at: str, what: str) -> Rule:
    """A place that names where something is."""
    return Rule(at=at, rule=f"self.matches('{URI}')", message=f"Write where the {what} is as {URI_FORMS}.")


def hub_only(at: str, name: str) -> Rule:
    """A field that means something on the Hub alone."""
    return Rule(
        at=at,
        rule=f"!has(self.{name}) || !has(self.uri) || self.uri.startsWith('hf://')",
        message=f"Only an hf:// uri has a {name}; leave {name} out.",
        field=f".{name}",
    )


SOURCES = (
    uri("spec.model.uri", "model"),
    uri("spec.tokenizer.uri", "tokenizer"),
    uri("spec.dataset.uri", "data set"),
    hub_only("spec.model", "revision"),
    hub_only("spec.tokenizer", "revision"),
    hub_only("spec.dataset", "revision"),
    hub_only("spec.dataset", "config"),
    Rule(
        at="spec.output.uri",
        rule="self.matches('^(s3|gs)://.+')",
        message="Write where the model goes as s3://bucket/key or gs://bucket/key.",
    ),
    Rule(
        at="spec.dataset.columns.text",
        rule="self.all(column, self.exists_one(other, other == column))",
        message="Name each text column once.",
    ),
    Rule(
        at="spec.dataset.labels",
        rule="size(self) != 1",
        message="A data set has at least two labels; name all of them, or none to take them from the data set.",
    ),
)

IS_OFF = "(has(self.wandb.mode) && self.wandb.mode in ['offline', 'disabled'])"
HAS_ARTIFACT = f"!{IS_OFF} && !(has(self.wandb.logModel) && self.wandb.logModel == 'false')"

TRACKING = (
    Rule(
        at="spec",
        rule=f"has(self.wandb.secretRef) || {IS_OFF}",
        message="The run needs an API key: name a Secret in wandb.secretRef, or set wandb.mode: offline or disabled.",
        field=".wandb",
    ),
    Rule(
        at="spec",
        rule=f"has(self.checkpoint.volume) || ({HAS_ARTIFACT})",
        message="Without W&B artifacts a checkpoint has no durable place: set checkpoint.volume, or leave out "
        'wandb.mode and wandb.logModel: "false".',
        field=".checkpoint",
    ),
    Rule(
        at="spec.wandb.secretRef.extraKeys",
        rule="self.all(k, k.startsWith('WANDB_') && !(k in ['WANDB_RUN_ID', 'WANDB_RESUME']))",
        message="Further keys are WANDB_ variables; leave out WANDB_RUN_ID and WANDB_RESUME, which the operator sets.",
    ),
    Rule(
        at="spec.wandb.tags",
        rule="self.all(tag, size(tag) >= 1 && size(tag) <= 64)",
        message="W&B takes tags of 1 to 64 characters.",
    ),
    Rule(
        at="spec.wandb.baseUrl",
        rule=f"self.matches('{HTTP}')",
        message="Write the W&B server's address as https://host or http://host.",
    ),
    Rule(
        at="spec.hub.endpoint",
        rule=f"self.matches('{HTTP}')",
        message="Write the Hub's address as https://host or http://host.",
    ),
)

DISTRIBUTION = (
    Rule(
        at="spec.distributed",
        rule="[has(self.ddp), has(self.fsdp), has(self.deepspeed)].filter(chosen, chosen).size() <= 1",
        message="Choose one of distributed.ddp, distributed.fsdp and distributed.deepspeed.",
    ),
    Rule(
        at="spec.distributed.deepspeed",
        rule="has(self.zeroStage) != has(self.config)",
        message="Set either zeroStage or a whole config.",
    ),
    Rule(
        at="spec",
        rule="!has(self.distributed.fsdp) || self.compute.gpusPerNode > 0",
        message="FSDP needs GPUs; use distributed.ddp with compute.gpusPerNode: 0.",
        field=".distributed",
    ),
    Rule(
        at="spec",
        rule="!has(self.distributed.fsdp) || self.compute.gpusPerNode != 1 || self.compute.nodes > 1",
        message="FSDP shares a model over several GPUs, and the job has one; leave it out, or raise "
        "compute.gpusPerNode.",
        field=".distributed",
    ),
    Rule(
        at="spec",
        rule="!has(self.globalBatchSize) || !has(self.training.gradient_accumulation_steps)",
        message="globalBatchSize sets the accumulation steps; leave out training.gradient_accumulation_steps.",
        field=".globalBatchSize",
    ),
    Rule(
        at="spec.compute",
        rule="!has(self.minNodes) || self.minNodes <= self.nodes",
        message="minNodes is at most nodes.",
        field=".minNodes",
    ),
    Rule(
        at="spec.restart",
        # A block's default is checked before its fields have theirs.
        rule="!has(self.backoffSeconds) || !has(self.maxBackoffSeconds) "
        "|| self.backoffSeconds <= self.maxBackoffSeconds",
        message="backoffSeconds is at most maxBackoffSeconds.",
        field=".backoffSeconds",
    ),
)

EVAL = "(has(self.eval_strategy) ? self.eval_strategy : 'no')"
SAVE = "(has(self.save_strategy) ? self.save_strategy : 'steps')"
BEST = "(has(self.load_best_model_at_end) && self.load_best_model_at_end)"
WORKERS = "(has(self.dataloader_num_workers) && self.dataloader_num_workers > 0)"


def evaluates(field: str, wanted: str) -> Rule:
    """A field that means nothing without evaluations."""
    return Rule(
        at="spec",
        rule=f"!({wanted}) || (has(self.training.eval_strategy) && self.training.eval_strategy != 'no')",
        message=f"{field} needs training.eval_strategy: steps or epoch.",
        field=f".{field}",
    )


TRAINING = (
    Rule(
        at="spec.training",
        rule=f"!{BEST} || ({EVAL} != 'no' && ({SAVE} == 'best' || {SAVE} == {EVAL}))",
        message="load_best_model_at_end needs eval_strategy equal to save_strategy, or save_strategy: best.",
        field=".load_best_model_at_end",
    ),
    Rule(
        at="spec.training",
        rule=f"!{BEST} || {SAVE} != 'steps' || !has(self.save_steps) || !has(self.eval_steps) || self.save_steps < 1.0 "
        "|| self.eval_steps < 1.0 || int(self.save_steps) % int(self.eval_steps) == 0",
        message="load_best_model_at_end needs save_steps to be a multiple of eval_steps.",
        field=".save_steps",
    ),
    Rule(
        at="spec.training",
        rule=f"{SAVE} != 'best' || (has(self.metric_for_best_model) && {EVAL} != 'no')",
        message="save_strategy: best needs metric_for_best_model and eval_strategy.",
        field=".save_strategy",
    ),
    Rule(
        at="spec.training",
        rule="!(has(self.bf16) && self.bf16 && has(self.fp16) && self.fp16)",
        message="Choose one of bf16 and fp16.",
        field=".fp16",
    ),
    Rule(
        at="spec.training",
        rule="!(has(self.bf16_full_eval) && self.bf16_full_eval && has(self.fp16_full_eval) && self.fp16_full_eval)",
        message="Choose one of bf16_full_eval and fp16_full_eval.",
        field=".fp16_full_eval",
    ),
    Rule(
        at="spec.training",
        rule=f"!(has(self.lr_scheduler_type) && self.lr_scheduler_type == 'reduce_lr_on_plateau') || {EVAL} != 'no'",
        message="lr_scheduler_type: reduce_lr_on_plateau needs eval_strategy: steps or epoch.",
        field=".lr_scheduler_type",
    ),
    Rule(
        at="spec.training",
        rule=f"!has(self.dataloader_prefetch_factor) || {WORKERS}",
        message="dataloader_prefetch_factor needs dataloader_num_workers of at least 1.",
        field=".dataloader_prefetch_factor",
    ),
    Rule(
        at="spec.training",
        rule=f"!(has(self.dataloader_persistent_workers) && self.dataloader_persistent_workers) || {WORKERS}",
        message="dataloader_persistent_workers needs dataloader_num_workers of at least 1.",
        field=".dataloader_persistent_workers",
    ),
    Rule(
        at="spec.training.max_steps",
        rule="self != 0",
        message="max_steps is at least 1; leave it out to train num_train_epochs.",
    ),
    Rule(
        at="spec.training.train_sampling_strategy",
        rule="self != 'group_by_length'",
        message=REFUSED["group_by_length"],
    ),
    evaluates("dataset.splits.further", "has(self.dataset) && has(self.dataset.splits.further)"),
    Rule(
        at="spec.dataset.splits.further",
        rule="self.all(one, self.exists_one(other, other.name == one.name))",
        message="Give each further split a name of its own.",
    ),
    evaluates("evaluation.earlyStopping", "has(self.evaluation.earlyStopping)"),
    evaluates("evaluation.predictionTable", "has(self.evaluation.predictionTable)"),
    evaluates("evaluation.confusionMatrix", "has(self.evaluation.confusionMatrix) && self.evaluation.confusionMatrix"),
    *(refused("spec.training", name, sentence) for name, sentence in REFUSED.items()),
)

RULES = (NAME, *COLUMNS, *TASK_FIELDS, *AUGMENTATION, *SOURCES, *TRACKING, *DISTRIBUTION, *TRAINING)
