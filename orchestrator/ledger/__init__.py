"""The memory: tables, queries, and the values that everybody else reads."""
