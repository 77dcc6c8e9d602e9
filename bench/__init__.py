"""Measure, with peers beside us in the same run on the same host: `make bench`. See README.md."""
