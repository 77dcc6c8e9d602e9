"""Keep the websites that a contract promises to keep: contract, plan, run, ledger, report."""

__version__ = "0.1.0"
