"""The trained network as a SavedModel."""
