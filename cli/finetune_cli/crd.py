"""`finetune crd`: the CustomResourceDefinition, for `kubectl apply --server-side -f -`."""

import argparse

from finetune_operator.api.crd import text

HELP = "Print the CustomResourceDefinition of FineTuneJob."


def arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""
    del parser


def main(options: argparse.Namespace) -> int:
    """Print it."""
    del options
    print(text(), end="")
    return 0
