"""What trained stacks are worth: measures, verdicts, tables and pictures."""
