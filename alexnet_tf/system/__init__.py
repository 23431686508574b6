"""Errors, files, progress bars and signals. Imports nothing else from the package."""
