"""What the API server refuses about the places that a job reads from and writes to."""

from finetune_operator.api.rule import Rule
from finetune_operator.api.training_rules import HAS_ARTIFACT, URI, URI_FORMS

REPOSITORY = r"^[\\w.-]+/[\\w.-]+$"
IN_WANDB = "uri.startsWith('wandb://')"
STREAMS = "has(self.dataset) && has(self.dataset.streaming) && self.dataset.streaming"

RULES = (
    Rule(
        at="spec",
        rule=f"has(self.wandb.secretRef) || !((has(self.model) && self.model.{IN_WANDB}) "
        f"|| (has(self.dataset) && self.dataset.{IN_WANDB}))",
        message="What is read from W&B needs an API key: name a Secret in wandb.secretRef.",
        field=".wandb",
    ),
    Rule(
        at="spec.dataset.mix[].uri",
        rule=f"self.matches('{URI}')",
        message=f"Write where the data set is as {URI_FORMS}.",
    ),
    Rule(
        at="spec",
        rule=f"!({STREAMS}) || (has(self.training.max_steps) && self.training.max_steps > 0)",
        message="A stream has no length: with dataset.streaming set training.max_steps.",
        field=".dataset.streaming",
    ),
    Rule(
        at="spec.output.registry.collection",
        rule=f"self.matches('{REPOSITORY}')",
        message="Write the collection as registry/collection, for example model/reviews.",
    ),
    Rule(
        at="spec.output.hub.repo",
        rule=f"self.matches('{REPOSITORY}')",
        message="Write the repository as owner/name.",
    ),
    Rule(
        at="spec",
        rule=f"!has(self.output.registry) || ({HAS_ARTIFACT})",
        message="A registry links the model's W&B artifact; leave out wandb.mode and wandb.logModel, or leave it out.",
        field=".output.registry",
    ),
    Rule(
        at="spec",
        rule="!has(self.output.hub) || has(self.hub.secretRef)",
        message="A push needs a token that may write: name a Secret in hub.secretRef.",
        field=".output.hub",
    ),
)
