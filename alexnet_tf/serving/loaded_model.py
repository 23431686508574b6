"""A SavedModel on disk, found and loaded."""

from __future__ import annotations

import functools
import math
import os
import pathlib

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from alexnet_tf.serving.layout import read_labels, version_of
from alexnet_tf.serving.warmup import read_warmup
from alexnet_tf.system.errors import UserError


def find_version(path: str | os.PathLike) -> pathlib.Path:
    """The directory of a SavedModel.

    Args:
        path: that directory, or the one that holds its versions, of which the newest is taken.

    Raises:
        UserError: there is none.
    """
    path = pathlib.Path(path).expanduser().resolve()  # "." has no name to be a version
    if (path / "saved_model.pb").is_file():
        return path
    versions = {version_of(file.parent.name): file.parent for file in path.glob("*/saved_model.pb")}
    versions.pop(None, None)
    if not versions:
        raise UserError(
            f"Expected a SavedModel, or a directory of its versions. Received: {path} without "
            "saved_model.pb"
        )
    return versions[max(versions)]


class LoadedModel:
    """A SavedModel that `export` wrote, ready to be asked.

    Attributes:
        path: of the SavedModel.
        version: the name of its directory as a number, or 1 if it is none.
        labels: class names in label order.
        functions: signature name to function of one tensor, to a dictionary of tensors.

    Args:
        path: as of `find_version`.

    Raises:
        UserError: it is none, or not one that `export` wrote.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = find_version(path)
        number = version_of(self.path.name)
        self.version = 1 if number is None else number
        try:
            self._loaded = tf.saved_model.load(str(self.path))
            self.labels = read_labels(self.path)
            self.functions = dict(self._loaded.signatures)
            self._check_labels()
        except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
            first_line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise UserError(
                f"Expected a SavedModel that alexnet_tf.export wrote. Received: {self.path} "
                f"({first_line})"
            ) from None

    def _check_labels(self) -> None:
        outputs = self.functions["serving_default"].structured_outputs["probabilities"].shape[1]
        if outputs != len(self.labels):
            raise ValueError(f"{len(self.labels)} labels for {outputs} classes")

    def argument(self, signature: str) -> tf.TensorSpec:
        """What a signature takes; all of this package's take one tensor.

        Raises:
            KeyError: there is no such signature.
        """
        (argument,) = self.functions[signature].structured_input_signature[1].values()
        return argument

    def values(self, signature: str) -> int:
        """Numbers and names in the answer about one image."""
        outputs = self.functions[signature].structured_outputs.values()
        return sum(math.prod(spec.shape[1:]) for spec in outputs)

    def empty_answer(self, signature: str) -> dict[str, np.ndarray]:
        """What a signature answers to a batch of no images."""
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
        """Runs the requests that the model brings for that, as TensorFlow Serving does.

        Raises:
            UserError: they are damaged.
        """
        try:
            for signature, batch in read_warmup(self.path):
                self.functions[signature](**{self.argument(signature).name: tf.constant(batch)})
        except (ValueError, KeyError, DecodeError, tf.errors.OpError) as error:
            first_line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise UserError(
                f"Expected warm-up requests that the model answers. Received: {self.path} "
                f"({first_line})"
            ) from None
