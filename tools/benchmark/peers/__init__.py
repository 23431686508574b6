"""The variants of `models/variants.py` as networks of other libraries."""
