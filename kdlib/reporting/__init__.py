"""Show the measures to people: the report, its tables and its plots."""
