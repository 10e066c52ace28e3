"""`python -m finetune_trainer run.json`: the pod's command."""

import logging
import sys
from pathlib import Path

from pydantic import ValidationError

from finetune_trainer.contract.environment import CONFIG_DIR, RUN_CONFIG_FILE
from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.supervisor import Supervisor, refused
from finetune_trainer.surroundings import surroundings


def main() -> int:
    """Supervise one attempt on one node."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    path = Path(sys.argv[1] if len(sys.argv) > 1 else f"{CONFIG_DIR}/{RUN_CONFIG_FILE}")
    here = surroundings()
    try:
        config = RunConfig.model_validate_json(path.read_text())
    except (OSError, ValidationError) as problem:
        return refused(path, str(problem), here)
    return Supervisor(config, path, here).run()


if __name__ == "__main__":
    sys.exit(main())
