"""Small networks of every variant's form, and images to show them."""

import dataclasses
import functools

from alexnet_tf.applications import AlexNet
from alexnet_tf.data.shapes import CLASSES, jpeg
from alexnet_tf.figures.context import FigureContext
from alexnet_tf.models.variants import get_variant

IMAGES = 24
LONGEST = (  # of ImageNet's names
    "n02093428_American_Staffordshire_terrier",
    "n01773157_black_and_gold_garden_spider",
    "n02100236_German_short-haired_pointer",
    "n02098286_West_Highland_white_terrier",
    "n02098105_soft-coated_wheaten_terrier",
    "n02107574_Greater_Swiss_Mountain_dog",
    "n02093256_Staffordshire_bullterrier",
    "n02099849_Chesapeake_Bay_retriever",
    "n01819313_sulphur-crested_cockatoo",
    "n01629819_European_fire_salamander",
    "n02095314_wire-haired_fox_terrier",
    "n02089078_black-and-tan_coonhound",
)


def narrow(name, part=8):
    """A variant with an eighth of its maps and units; all else is as it was."""
    variant = get_variant(name)
    convs = [dataclasses.replace(conv, filters=conv.filters // part) for conv in variant.convs]
    denses = [dataclasses.replace(d, units=d.units and d.units // part) for d in variant.denses]
    return dataclasses.replace(variant, convs=tuple(convs), denses=tuple(denses))


@functools.cache
def photos(number):
    return [jpeg(1, index) for index in range(number)]


def make_context(
    name="tiny", activation="relu", classes=CLASSES, images=IMAGES, labelled=True, **others
):
    """A model that was never trained, as a notebook would have it, and some photographs."""
    row = get_variant(name) if name.startswith("tiny") else narrow(name)
    row = dataclasses.replace(row, activation=activation)
    labels = [index % len(classes) for index in range(images)] if labelled else None
    model = AlexNet(row, len(classes))
    return FigureContext.from_model(model, photos(images), labels, classes, row, **others)
