"""A SavedModel, loaded from disk."""

from __future__ import annotations

import functools
import math
import os

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from alexnet_tf.serving.model_safety import check_saved_model
from alexnet_tf.serving.saved_model import find_version, read_labels, read_warmup, version_of
from alexnet_tf.system.errors import UserError, first_line
from alexnet_tf.system.paths import tensorflow_path


class LoadedModel:
    """A SavedModel that `export` wrote.

    Attributes:
        path: directory of the SavedModel.
        version: the name of that directory as a number, or 1 if it is not a number.
        labels: class names in label order.
        functions: signature name to a function from one tensor to a dictionary of tensors.

    Args:
        path: see `find_version`.
        trust: loads the model unchecked; whoever made it can then run code and reach files.

    Raises:
        UserError: there is no SavedModel, or `export` did not write it.
    """

    def __init__(self, path: str | os.PathLike, trust: bool = False):
        self.path = find_version(path)
        number = version_of(self.path.name)
        self.version = 1 if number is None else number
        try:
            if not trust:
                check_saved_model(self.path)
            self.labels = read_labels(self.path)
            with tensorflow_path(self.path) as path:
                self._loaded = tf.saved_model.load(path)
            self.functions = dict(self._loaded.signatures)
            self._check_labels()
        except UserError:
            raise
        except Exception as error:  # TensorFlow's loader raises anything for a damaged file
            raise UserError(
                f"Expected a SavedModel that alexnet_tf.export wrote. Received: {self.path} "
                f"({first_line(error)})"
            ) from None

    def _check_labels(self) -> None:
        outputs = self.functions["serving_default"].structured_outputs["probabilities"].shape[1]
        if outputs != len(self.labels):
            raise ValueError(f"{len(self.labels)} labels for {outputs} classes")

    def argument(self, signature: str) -> tf.TensorSpec:
        """Returns the single argument of a signature.

        Raises:
            KeyError: there is no such signature.
        """
        (argument,) = self.functions[signature].structured_input_signature[1].values()
        return argument

    def call(self, signature: str, batch: np.ndarray) -> dict[str, np.ndarray]:
        """Computes a signature's outputs for a batch."""
        argument = self.argument(signature)
        outputs = self.functions[signature](**{argument.name: tf.constant(batch, argument.dtype)})
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    def values(self, signature: str) -> int:
        """Counts the numbers and names in the outputs for one image."""
        outputs = self.functions[signature].structured_outputs.values()
        return sum(math.prod(spec.shape[1:]) for spec in outputs)

    def empty_outputs(self, signature: str) -> dict[str, np.ndarray]:
        """Returns the outputs for a batch of no images."""
        outputs = self.functions[signature].structured_outputs
        return {
            name: np.zeros([0, *spec.shape[1:]], spec.dtype.as_numpy_dtype)
            for name, spec in outputs.items()
        }

    @functools.cached_property
    def definitions(self) -> dict[str, meta_graph_pb2.SignatureDef]:
        """The signatures as TensorFlow Serving sees them."""
        serialised = (self.path / "saved_model.pb").read_bytes()
        (graph,) = saved_model_pb2.SavedModel.FromString(serialised).meta_graphs
        return dict(graph.signature_def)

    def warm_up(self) -> None:
        """Runs the model's warm-up requests, as TensorFlow Serving does.

        Raises:
            UserError: they are damaged.
        """
        try:
            for signature, batch in read_warmup(self.path):
                self.call(signature, batch)
        except (ValueError, KeyError, DecodeError, tf.errors.OpError) as error:
            raise UserError(
                f"The warm-up requests of {self.path} are damaged: {first_line(error)}. Export the "
                "model again."
            ) from None
