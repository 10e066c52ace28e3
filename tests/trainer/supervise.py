"""`-m tests.trainer.supervise SOCKET run.json`: the supervisor, whose ranks come from a forkserver."""

import logging
import os
import sys
from pathlib import Path

from finetune_trainer.pod.run_file import load
from finetune_trainer.pod.surroundings import surroundings
from finetune_trainer.process.supervisor import Supervisor

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    stand_in = Path(sys.argv[1] + ".python")
    os.environ["PYTHON_EXEC"] = str(stand_in)  # torchrun starts its ranks with it.
    config = load(Path(sys.argv[2]))
    sys.exit(Supervisor(config, Path(sys.argv[2]), surroundings(), python=(str(stand_in),), owns_process=True).run())
