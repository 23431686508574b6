"""Side-by-side measurements of this package and others, in interleaved rounds.

`__main__.py` parses flags, `rounds.py` lets contestants take turns, `report.py` writes the table;
`training.py`, `inference.py`, `layers.py`, `inputs.py` and `scaling.py` say who takes part in
what, `peers/` holds the others' networks.
"""
