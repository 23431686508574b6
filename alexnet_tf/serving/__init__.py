"""Exports a trained network as a SavedModel, serves it over HTTP, and queries a server."""
