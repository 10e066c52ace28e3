"""The `finetune` command: each subcommand is a module with HELP, `arguments(parser)` and `main(options) -> status`."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType, ModuleType

from finetune_cli import crd, render, run, validate
from finetune_cli.jobs import JobFileError

COMMANDS: Mapping[str, ModuleType] = MappingProxyType({"run": run, "validate": validate, "render": render, "crd": crd})
"""In the order in which help lists them. Modules import what is heavy only when they run."""

MISSING = (
    "This needs the Python module {module}, which is not installed here. Install this repository with its extras: "
    "pip install 'CHECKOUT[sandbox]' for validate and render, 'CHECKOUT[sandbox,trainer]' for the rest.\n"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = parser().parse_args(arguments)
    try:
        return int(COMMANDS[options.command].main(options))
    except JobFileError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except ModuleNotFoundError as error:
        sys.stderr.write(MISSING.format(module=error.name))
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output, for example head, has seen enough.
        sys.stderr.close()
        return 1


def parser() -> argparse.ArgumentParser:
    """What the command line may say."""
    made = argparse.ArgumentParser(prog="finetune", description="Fine-tuning jobs that survive preemption.")
    subcommands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        module.arguments(subcommands.add_parser(name, help=module.HELP, description=module.HELP))
    return made
