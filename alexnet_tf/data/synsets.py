"""WordNet's names of things, as ImageNet uses them for classes: n01440764 is the tench."""

from __future__ import annotations

import re

_SYNSET = re.compile(r"n\d{8}")


def is_synset(name: str) -> bool:
    """Whether a class is named so."""
    return _SYNSET.fullmatch(name) is not None
