"""One training in several processes: DeepSpeed, FSDP, what they share and how files get between nodes."""
