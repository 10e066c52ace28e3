"""Jobs that bring a program of their own."""
