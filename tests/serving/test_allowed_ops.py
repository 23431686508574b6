"""Every network can be exported: its graphs contain allowed operations only."""

import typing
from dataclasses import replace

import numpy as np
import pytest

from alexnet_tf.applications import AlexNet
from alexnet_tf.data.preprocess import Preprocessor
from alexnet_tf.data.statistics import Statistics
from alexnet_tf.evaluation.classifier import Classifier
from alexnet_tf.models.spec import ActivationName
from alexnet_tf.models.variants import get_variant, variants
from alexnet_tf.serving.signatures import SIGNATURES, Servable, check_ops
from tests.figures.contexts import narrow


@pytest.mark.slow
@pytest.mark.parametrize("activation", typing.get_args(ActivationName))
@pytest.mark.parametrize("variant", variants())
def test_every_network_has_allowed_operations_only(variant, activation):
    spec = replace(narrow(variant), activation=activation)
    side = spec.preprocessing.image_size
    mean = np.full((side, side, 3), 120, np.float32)
    statistics = Statistics(mean, np.ones(3, np.float32), np.eye(3, dtype=np.float32))
    classifier = Classifier(
        AlexNet(spec, classes=3), Preprocessor(spec.preprocessing, statistics), ("a", "b", "c")
    )
    # An activation adds the same operations to every signature: one of them is enough.
    names = SIGNATURES if activation == get_variant(variant).activation else SIGNATURES[:1]
    for name, function in Servable(classifier).signatures(names).items():
        check_ops(name, function)
