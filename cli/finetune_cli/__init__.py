"""The command line: puts operator, trainer and sandbox together; nothing imports it."""
