"""What an object of the API is, before it leaves the process."""

from typing import Any

Manifest = dict[str, Any]
"""An object of the API as JSON has it."""
