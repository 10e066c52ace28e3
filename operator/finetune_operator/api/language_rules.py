"""What the API server refuses about language models: adapters, packing, conversations, preferences."""

from finetune_operator.api.rule import Rule
from finetune_operator.api.training_rules import only_for

IS_PACKED = "(has(self.tokenizer.packing) && self.tokenizer.packing)"
IS_MERGED = "(has(self.output.merged) && self.output.merged)"

RULES = (
    *only_for(("conversational",), "dataset", "learnedTurns"),
    *only_for(("conversational", "preference"), "tokenizer", "chatTemplate"),
    Rule(
        at="spec",
        rule=f"!has(self.task) || !{IS_PACKED} || self.task in ['text-generation', 'conversational']",
        message="packing is for text-generation and conversational; leave it out.",
        field=".tokenizer.packing",
    ),
    Rule(
        at="spec",
        rule="!has(self.preference) || (has(self.task) && self.task == 'preference')",
        message="preference is for the task preference; leave it out.",
        field=".preference",
    ),
    Rule(
        at="spec",
        rule=f"!{IS_MERGED} || has(self.peft)",
        message="output.merged merges an adapter; name a method in peft, or leave merged out.",
        field=".output.merged",
    ),
    Rule(
        at="spec",
        rule="!has(self.peft) || !has(self.model) || !has(self.model.freeze) || size(self.model.freeze) == 0",
        message="model.freeze does nothing beside peft, which trains no weight of the model itself; leave one out.",
        field=".model.freeze",
    ),
    Rule(
        at="spec.peft",
        rule="!has(self.quantization) || self.method == 'qlora'",
        message="quantization is for method: qlora; leave it out, or choose qlora.",
        field=".quantization",
    ),
    Rule(
        at="spec",
        rule="!has(self.peft) || !has(self.training.optim) || "
        "!self.training.optim.matches('^(galore|apollo|lomo|adalomo)')",
        message="This optimizer works on whole matrices, and peft trains none; choose another, or leave peft out.",
        field=".training.optim",
    ),
    Rule(
        at="spec.peft.targetModules",
        rule="size(self) == 1 || (size(self) > 0 && !('all-linear' in self))",
        message="Name at least one module; all-linear stands alone.",
    ),
)
