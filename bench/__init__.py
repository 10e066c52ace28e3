"""Measures the operator and the trainer, each beside its floor in the same run."""
