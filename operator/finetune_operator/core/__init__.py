"""The decisions, pure: what was observed in, what should happen out. No I/O, no clock, no Kopf, no client."""
