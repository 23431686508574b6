"""A classifier that has learnt nothing, but is not indifferent, and pictures to ask it about."""

import io

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from alexnet_tf.applications import AlexNet
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.evaluation.classifier import Classifier
from alexnet_tf.models.variants import get_variant
from alexnet_tf.serving.model_card import ModelCard, Validation

CLASSES = ("tench", "goldfish", "great white shark", "größer", "<b>&", "six", "seven")


def make_classifier(variant="tiny"):
    """Its probabilities differ from image to image by far more than any tolerance."""
    spec = get_variant(variant)
    keras.utils.set_random_seed(1)
    model = AlexNet(spec, classes=len(CLASSES))
    side = spec.preprocessing.image_size
    mean = np.random.default_rng(0).uniform(90, 160, (side, side, 3)).astype(np.float32)
    statistics = Statistics(mean, np.ones(3, np.float32), np.eye(3, dtype=np.float32))
    classifier = Classifier(model, Preprocessor(spec.preprocessing, statistics), CLASSES)
    squares, _ = classifier.decode(tf.constant([make_picture(seed) for seed in range(16)]))
    logits = model(classifier.preprocessor.views(squares, 1)[:, 0]).numpy()
    scale = 2 / logits.std(axis=0)  # of fc8, to logits of mean 0 and standard deviation 2
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * scale, (bias - logits.mean(axis=0)) * scale])
    return classifier


def make_card(variant="tiny"):
    flags = {
        "batch_size": 8,
        "data_dir": "images",
        "model_dir": "/home/somebody/run",
        "cache_dir": "~/cache",
        "workers": ("10.0.0.1:7000", "10.0.0.2:7000"),
    }
    return ModelCard(get_variant(variant), "nothing", 12, Validation(0.25, 0.125, 1000), flags)


def make_picture(seed, format="JPEG", size=(90, 80)):
    """A smooth picture of random colours, encoded."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (5, 5, 3), np.uint8))
    buffer = io.BytesIO()
    small.resize(size, Image.Resampling.BICUBIC).save(buffer, format)
    return buffer.getvalue()


def make_scan_bomb(icc, scans=2000):
    """A progressive JPEG of 9 million pixels that passes over them so many times: over a minute.

    With `icc` there is a segment of a colour profile behind its beginning that says nothing, which
    Pillow cannot read and libjpeg passes over.
    """
    buffer = io.BytesIO()
    Image.new("L", (3000, 3000), 128).save(buffer, "JPEG", progressive=True)
    whole = buffer.getvalue()
    last = whole[whole.rindex(b"\xff\xda") : -2]  # one scan, which may come again
    profile = b"\xff\xe2\x00\x0eICC_PROFILE\0" if icc else b""
    return whole[:2] + profile + whole[2:-2] + last * scans + whole[-2:]
