"""Writes every generated file, or with --check tells which differ: `python -m tools.generate [--check]`."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).parent.parent


def arguments() -> str:
    """The contract's TrainingArguments."""
    from tools import training_arguments

    return training_arguments.source()


def crd() -> str:
    """The CRD, from the models as they are by then."""
    from tools import custom_resource

    return custom_resource.source()


def chart_crd() -> str:
    """The chart's template of the CRD."""
    from tools import custom_resource

    return custom_resource.chart_source()


def reference() -> str:
    """The table of every field."""
    from tools import reference

    return reference.source()


SOURCES: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "trainer_image/finetune_trainer/contract/training_arguments.py": arguments,
        "crds/finetune.dev_finetunejobs.yaml": crd,
        "charts/finetune-operator/templates/crds/finetune.dev_finetunejobs.yaml": chart_crd,
        "docs/reference.md": reference,
    }
)
"""The files in the order of their dependence: each source imports its models only when its turn comes."""


def main() -> int:
    """Write or check; the exit status is 1 when a checked file differs."""
    check = "--check" in sys.argv[1:]
    stale = [path for path, source in SOURCES.items() if is_stale(ROOT / path, source(), write=not check)]
    for path in stale:
        sys.stdout.write(f"{path} differs from its source: run `make generate`.\n" if check else f"Wrote {path}.\n")
    return int(check and bool(stale))


def is_stale(path: Path, text: str, *, write: bool) -> bool:
    """Whether the file differs from its source, as it was found."""
    stale = not path.exists() or path.read_text(encoding="utf-8") != text
    if stale and write:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())
