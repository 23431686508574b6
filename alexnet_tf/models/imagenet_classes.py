"""ImageNet's thousand classes of 2012: WordNet synset and a short name, in the order of labels.

Labels are numbered by sorted synset; TFDS, torchvision and Caffe agree on it.
"""

from __future__ import annotations

import functools
import importlib.resources


@functools.cache
def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """Synset and name of each class: ("n01440764", "tench"), ..."""
    text = (
        importlib.resources.files(__package__).joinpath("imagenet_classes.txt").read_text("utf-8")
    )
    return tuple(tuple(line.split(" ", 1)) for line in text.splitlines())


@functools.cache
def _words() -> dict[str, str]:
    return dict(imagenet_classes())


def class_words(name: str) -> str:
    """A synset of ImageNet as words; any other class name as it is."""
    return _words().get(name, name)
