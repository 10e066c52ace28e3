"""The W&B run: its rows, its settings, its artifacts, and the callbacks that tell of it."""
