"""Benchmarks of this package and of other libraries, side by side in interleaved rounds.

`__main__.py` parses flags, `rounds.py` lets the contestants take turns, `report.py` makes the
table. `training.py`, `inference.py`, `layers.py`, `inputs.py` and `scaling.py` list the contestants
of each benchmark; `peers/` holds the networks of other libraries.
"""
