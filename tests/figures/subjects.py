"""Small networks of every variant's form, and pictures to show them."""

import dataclasses

from alexnet_tf.data.shapes import CLASSES, jpeg
from alexnet_tf.figures.subject import subject_of
from alexnet_tf.models.build import AlexNet
from alexnet_tf.models.variants import get_variant

IMAGES = 24


def narrow(name):
    """A variant with an eighth of its maps and units; all else is as it was."""
    variant = get_variant(name)
    convs = [dataclasses.replace(conv, filters=conv.filters // 8) for conv in variant.convs]
    denses = [dataclasses.replace(d, units=d.units and d.units // 8) for d in variant.denses]
    return dataclasses.replace(variant, convs=tuple(convs), denses=tuple(denses))


def make_subject(name="tiny", **others):
    """A model that was never trained, as a notebook would have it."""
    model = AlexNet(narrow(name) if not name.startswith("tiny") else name, classes=len(CLASSES))
    photos = [jpeg(1, index) for index in range(IMAGES)]
    labels = [index % len(CLASSES) for index in range(IMAGES)]
    return subject_of(model, photos, labels, CLASSES, **others)
