"""What the processes of a pod know of each other: where they are, what was asked of them, how far they are."""
