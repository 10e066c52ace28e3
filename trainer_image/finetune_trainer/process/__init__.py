"""The processes of a pod: the supervisor, its ranks, and how they are started and ended."""
