"""A Hugging Face Hub in small: invented data sets and tiny random models for the unmodified clients.

`Hub` runs it inside a process, `python -m finetune_sandbox.hub --root DIR` as one of its own.
"""

from finetune_sandbox.hub.embedded import Hub
from finetune_sandbox.hub.repositories import furnish
from finetune_sandbox.hub.server import Access

__all__ = ["Access", "Hub", "furnish"]
