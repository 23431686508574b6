"""Top-1 and top-5 error of a model, and reports of where it errs."""
