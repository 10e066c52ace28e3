"""What an evaluation measures, and what it shows of single rows."""
