"""The same networks by other libraries' means, built from the same rows of `models/variants.py`."""
