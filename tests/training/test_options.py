"""Options are checked when they are made, as the flags are."""

import dataclasses
import enum
import fractions
import json
import math
import pathlib

import numpy as np
import pytest

from alexnet_tf.system.errors import UserError
from alexnet_tf.training.layer_options import LayerRate
from alexnet_tf.training.options import Options, with_current_names


class Name(enum.Enum):
    PAPER = "paper"


class Text(str, enum.Enum):
    PAPER = "paper"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"epochs": math.nan}, "--epochs to be a number. Received: nan"),
        ({"epochs": "3"}, "--epochs to be a number. Received: 3"),
        ({"epochs": -1.0}, "--epochs to be at least 0. Received: -1"),
        ({"momentum": 1.0}, "--momentum to be at most 0.9999"),
        ({"batch_size": 8.0}, "--batch_size to be a whole number. Received: 8.0"),
        ({"steps": True}, "--steps to be a whole number"),
        ({"xla": 1}, "--xla to be a truth value"),
        ({"cache": "ram"}, "--cache to be one of none, memory, disk. Received: ram"),
        ({"variant": None}, "--variant to be a string. Received: None"),
        ({"variant": "vgg"}, "--variant to be one of paper, .*Received: vgg"),
        ({"augment": "flip"}, "--augment to be a tuple of strings. Received: flip"),
        ({"augment": ("blur",)}, "--augment to be a list of crop, .*, or empty. Received: blur"),
        ({"decay_epochs": (1.0, -2.0)}, "list of numbers, none of them negative"),
        ({"decay_epochs": (math.inf,)}, "Received: inf"),
        ({"profile": (5.0, 3.0)}, "--profile=START,STOP.*Received: 5,3"),
        ({"epochs": math.inf}, "--epochs to be a number. Received: inf"),
        ({"learning_rate": np.float32("nan")}, "--learning_rate to be a number. Received: nan"),
        ({"learning_rate": 10**400}, "--learning_rate to be a number"),
        ({"batch_size": 10**30}, "--batch_size to be a whole number"),
        ({"batch_size": 0}, "--batch_size to be at least 1. Received: 0"),
        ({"batch_size": np.True_}, "--batch_size to be a whole number. Received: True"),
        ({"batch_size": np.array([8, 9])}, r"--batch_size to be a whole number. Received: \[8, 9"),
        ({"steps": np.zeros((40, 40))}, r"--steps to be a whole number. Received: [^\n]* \.\.\.$"),
        ({"decay_epochs": np.ones((2, 2))}, "--decay_epochs to be a list of numbers"),
        ({"decay_epochs": [True]}, "--decay_epochs to be a list of numbers. Received: True"),
        ({"variant": Name.PAPER}, "--variant to be a string. Received: .*, of type Name"),
        ({"variant": pathlib.Path("paper")}, "--variant to be a string. Received: PosixPath"),
        ({"model_dir": b"runs"}, "--model_dir to be a string. Received: b'runs', of type bytes"),
        ({"model_dir": "a\0b"}, r"--model_dir to be a string. Received: a\\x00b"),
        ({"layer_rates": ("conv1:1:1e999",)}, "LAYER:EPOCH:MULTIPLIER"),
        ({"tower_devices": ("/CPU:0", "/CPU:1"), "xla": True}, "without --xla"),
        ({"cache": "disk", "tpu": "far-away"}, "--cache=none with a TPU of another machine"),
    ],
)
def test_a_wrong_option_is_refused(changes, complaint):
    with pytest.raises(UserError, match=complaint):
        Options(**changes)
    with pytest.raises(UserError, match=complaint):
        dataclasses.replace(Options(), **changes)


def test_numbers_and_sequences_are_converted():
    options = Options(epochs=3, batch_size=np.int64(8), decay_epochs=[1, 2], seed=np.int32(1))
    assert options == Options(epochs=3.0, batch_size=8, decay_epochs=(1.0, 2.0), seed=1)
    assert isinstance(options.epochs, float) and type(options.batch_size) is int


@pytest.mark.parametrize(
    "name, given, kept",
    [
        ("model_dir", pathlib.Path("runs/a"), "runs/a"),
        ("data_dir", np.str_("set"), "set"),
        ("dataset", pathlib.Path("/sets/a"), "/sets/a"),
        ("batch_size", np.array(8), 8),
        ("learning_rate", np.float32(0.5), 0.5),
        ("epochs", fractions.Fraction(1, 2), 0.5),
        ("xla", np.True_, True),
        ("variant", Text.PAPER, "paper"),
        ("decay_epochs", np.array([1, 2]), (1.0, 2.0)),
        ("augment", np.array(["crop", "flip"]), ("crop", "flip")),
        ("steps", np.uint8(3), 3),
    ],
)
def test_values_of_programs_become_plain_ones_that_json_can_keep(name, given, kept):
    found = getattr(Options(**{name: given}), name)
    assert (found, type(found)) == (kept, type(kept))
    assert json.loads(json.dumps(found)) == (list(kept) if isinstance(kept, tuple) else kept)


def test_old_names_of_augmentations_are_accepted():
    assert Options(augment=("crop", "reflect", "lighting")).augment == ("crop", "flip", "pca_noise")


def test_options_in_old_files_get_their_present_names():
    old = {"lighting_until": 3.0, "steps_per_call": 2, "augment": ["reflect"], "seed": 1}
    new = {"pca_noise_until": 3.0, "steps_per_execution": 2, "augment": ["flip"], "seed": 1}
    assert with_current_names(old) == with_current_names(new) == new


@pytest.mark.parametrize("item", ["conv1", "conv1:1", "conv1:x:0", "conv1/gamma:1:0", "conv1:1:-1"])
def test_a_wrong_layer_rate_is_refused(item):
    with pytest.raises(UserError, match="LAYER:EPOCH:MULTIPLIER"):
        Options(layer_rates=(item,))


def test_layer_rates_are_in_the_order_of_their_epochs():
    options = Options(layer_rates=("fc8:2:0.5", "conv1/bias:1:0"))
    assert options.layer_multipliers == (
        LayerRate(r"\bconv1[ab]?/bias", 1.0, 0.0),
        LayerRate(r"\bfc8[ab]?/", 2.0, 0.5),
    )
