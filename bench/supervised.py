"""`python -m bench.supervised run.json`: the pod's command, with a clock in its rank."""

import sys
from pathlib import Path

from finetune_trainer.contract.run_config import RunConfig
from finetune_trainer.pod.surroundings import surroundings
from finetune_trainer.process.supervisor import Supervisor

if __name__ == "__main__":
    path = Path(sys.argv[1])
    config = RunConfig.model_validate_json(path.read_text())
    sys.exit(Supervisor(config, path, surroundings(), python=(sys.executable, "-m", "bench.clocked")).run())
