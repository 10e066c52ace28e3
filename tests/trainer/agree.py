"""`-m agree FILE`: one of two gloo ranks that meet at a file, and prints whether the program should stop."""

import os
import sys

import torch.distributed as dist
from finetune_trainer import program

if __name__ == "__main__":
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=int(os.environ["RANK"]), world_size=2)
    sys.stdout.write(str(program.should_stop()))
    sys.stdout.flush()
