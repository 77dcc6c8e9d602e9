"""Decide, and touch nothing: time, ids and chance come in as arguments."""
