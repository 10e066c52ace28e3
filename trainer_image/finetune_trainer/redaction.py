"""Secrets stay out of everything that leaves the pod."""

import os
import re
from collections.abc import Mapping

SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL)", re.IGNORECASE)
PUBLIC_NAMES = frozenset({"FINETUNE_TOKEN"})
"""The attempt's token names the attempt; it opens nothing."""
SHORTEST_SECRET = 8
IN_ADDRESS = re.compile(r"(\w+://)[^/\s:@]+:[^/\s@]+@")


def redacted(text: str, env: Mapping[str, str] = os.environ) -> str:
    """The text without the value of any variable that looks like a key, and without passwords in addresses."""
    for name, value in env.items():
        if SECRET_NAME.search(name) and name not in PUBLIC_NAMES and len(value) >= SHORTEST_SECRET:
            text = text.replace(value, "[redacted]")
    return IN_ADDRESS.sub(r"\1[redacted]@", text)
