"""What the API server refuses beyond types: CEL, each rule with the sentence that it answers with.

The CRD carries the rules; `finetune validate` evaluates the same text offline. A rule that mentions `oldSelf` judges
an edit. Rules may rely on blocks that have a default, but not on fields without one.
"""

from finetune_operator.api import edit_rules, language_rules, place_rules, pod_rules, program_rules, training_rules

RULES = (
    *program_rules.RULES,
    *training_rules.RULES,
    *language_rules.RULES,
    *place_rules.RULES,
    *pod_rules.RULES,
    *edit_rules.RULES,
)
