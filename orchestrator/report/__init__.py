"""Pure: what was promised and what the ledger saw, side by side."""
