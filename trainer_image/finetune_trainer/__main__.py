"""`python -m finetune_trainer run.json`: the pod's command."""

import logging
import sys
from pathlib import Path

from finetune_trainer.contract.environment import CONFIG_DIR, RUN_CONFIG_FILE
from finetune_trainer.errors import ConfigurationError
from finetune_trainer.pod.run_file import load
from finetune_trainer.pod.surroundings import surroundings
from finetune_trainer.process.supervisor import Supervisor, refused


def main() -> int:
    """Supervise one attempt on one node."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    path = Path(sys.argv[1] if len(sys.argv) > 1 else f"{CONFIG_DIR}/{RUN_CONFIG_FILE}")
    here = surroundings()
    try:
        config = load(path)
    except ConfigurationError as problem:
        return refused(problem, here)
    return Supervisor(config, path, here, owns_process=True).run()


if __name__ == "__main__":
    sys.exit(main())
