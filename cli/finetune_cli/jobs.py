"""Reads jobs from YAML as kubectl does, which is not as PyYAML does."""

import re
import sys
from pathlib import Path
from typing import Any

import yaml


class JobFileError(Exception):
    """A file that holds no jobs; the message says what it holds, and the next step."""


class KubernetesLoader(yaml.SafeLoader):
    """Takes 2e-5 for a number and a date for a string."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


KubernetesLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def jobs(file: str) -> tuple[dict[str, Any], ...]:
    """The documents of a file, or of standard input for `-`."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        documents = [d for d in yaml.load_all(text, KubernetesLoader) if d is not None]
    except OSError as error:
        raise JobFileError(f"{file} cannot be read: {error.strerror}. Correct the path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise JobFileError(f"{file} is no YAML: {error}. Correct it there.") from error
    if not documents or not all(isinstance(document, dict) for document in documents):
        raise JobFileError(f"{file} holds no FineTuneJob. Write one as in the examples.")
    return tuple(documents)
