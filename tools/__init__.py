"""Thin commands around the package; run them from the root of the repository."""
