"""What a person sees of the server in a browser: runs, their curves side by side, tables, artifacts.

Rendered here, one self-contained document each; nothing is fetched from elsewhere, and nothing can be changed.
"""

from finetune_sandbox.wandb_server.pages.routes import Pages

__all__ = ["Pages"]
