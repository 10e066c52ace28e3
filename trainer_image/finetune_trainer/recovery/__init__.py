"""Checkpoints: what is in one, where it is kept, how it gets there, and which one an attempt starts from."""
