"""How often a model errs, and where."""
