"""Writes a SavedModel for TensorFlow Serving, and reads the files of its directory.

BASE/<version>/
    saved_model.pb, variables/                  signatures.py lists the signatures
    assets/labels.txt                           class names, one per line, in label order
    assets/model_card.json, model_card.md       model_card.py
    assets.extra/tf_serving_warmup_requests     one request per signature

TensorFlow Serving runs the warm-up requests before it takes others, so that the first one is not
slow: a TFRecord file of PredictionLog messages,
https://www.tensorflow.org/tfx/serving/saved_model_warmup.
"""

from __future__ import annotations

import functools
import os
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
)

from alexnet_tf.data.limits import MAX_CLASSES
from alexnet_tf.evaluation.classifier import Classifier
from alexnet_tf.serving.model_card import ModelCard
from alexnet_tf.serving.model_safety import MAX_TENSOR_BYTES, tensor_bytes
from alexnet_tf.serving.signatures import CLASSIFY, Servable, check_ops, image_example
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import (
    fsync_path,
    locked,
    make_directory,
    new_directory,
    reason_of,
    remove,
    remove_directories,
)
from alexnet_tf.system.paths import local_path, tensorflow_path
from alexnet_tf.system.untrusted import read_bytes

MODEL_CARD = pathlib.PurePath("assets", "model_card.json")

_MAX_VERSION = 2**63 - 1  # int64, as in TensorFlow Serving
_LABELS = pathlib.PurePath("assets", "labels.txt")
_WARMUP = pathlib.PurePath("assets.extra", "tf_serving_warmup_requests")


def export(
    classifier: Classifier,
    base: str | os.PathLike,
    card: ModelCard,
    version: int | None = None,
) -> pathlib.Path:
    """Exports a classifier to BASE/<version>/.

    Args:
        classifier: the trained network.
        base: the directory of all versions.
        card: describes the model.
        version: a positive integer; None for the next one.

    Returns:
        The new directory.

    Raises:
        UserError: see `write_version` and `check_ops`.
    """
    return write_version(base, functools.partial(_write, classifier, card), version)


def write_version(
    base: str | os.PathLike, write: Callable[[pathlib.Path], None], version: int | None = None
) -> pathlib.Path:
    """Writes BASE/<version>/ under another name first, so that a server never sees half of it.

    Args:
        base: the directory of all versions.
        write: fills an existing, empty directory.
        version: a positive integer; None for the next one.

    Returns:
        The new directory.

    Raises:
        UserError: the version exists, the directory cannot be written, or another export writes
            there.
    """
    base = local_path(base, "--output")
    try:
        make_directory(base)
        with locked(base, "--output"):
            target = _next_version(base) if version is None else base / str(version)
            if os.path.lexists(target):
                raise UserError(f"Expected a version that does not exist yet. Received: {target}")
            remove_directories(base)  # of an export that was killed
            scratch = new_directory(base)
            try:
                write(scratch)
                scratch.chmod(0o755)  # mkdtemp gives access to the owner only
                for folder, _, names in os.walk(scratch):
                    for name in (*names, "."):
                        fsync_path(pathlib.Path(folder, name))
                scratch.rename(target)
                fsync_path(base)
            finally:
                remove(scratch)  # only if something failed
    except (OSError, tf.errors.OpError) as error:
        raise UserError(f"Cannot write a SavedModel into {base}: {reason_of(error)}") from None
    return target


def version_of(name: str) -> int | None:
    """Parses the name of a version's directory as TensorFlow Serving does; None for other names."""
    valid = name.isascii() and name.isdecimal() and int(name) <= _MAX_VERSION
    return int(name) if valid else None


def find_version(path: str | os.PathLike) -> pathlib.Path:
    """Finds the directory of a SavedModel.

    Args:
        path: that directory, or the directory of all versions; the newest is taken.

    Raises:
        UserError: there is no SavedModel.
    """
    path = local_path(path, "--saved_model").resolve()  # the name of "." is no version
    if os.path.isfile(path / "saved_model.pb"):
        return path
    versions = {version_of(file.parent.name): file.parent for file in path.glob("*/saved_model.pb")}
    versions.pop(None, None)
    if not versions:
        raise UserError(
            f"Expected a SavedModel, or a directory of its versions. Received: {path} without "
            "saved_model.pb"
        )
    return versions[max(versions)]


def write_labels(directory: pathlib.Path, classes: tuple[str, ...]) -> None:
    """Writes the class names of a SavedModel.

    Raises:
        UserError: a name contains a line break.
    """
    for name in classes:
        if "\n" in name or "\r" in name:
            raise UserError(f"Expected class names without line breaks. Received: {name!r}")
    text = "".join(f"{name}\n" for name in classes)
    (directory / _LABELS).write_bytes(text.encode())


def read_labels(directory: pathlib.Path) -> tuple[str, ...]:
    """Reads the class names; only a line feed ends one: names may contain other separators.

    Raises:
        FileNotFoundError: there are none.
        UserError: they are no UTF-8, or too many.
    """
    path = directory / _LABELS
    try:
        text = read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is damaged: {error}. Export the model again") from None
    classes = text.count("\n") + (not text.endswith("\n"))
    if classes > MAX_CLASSES:
        raise UserError(f"{path} has {classes:,} names, over {MAX_CLASSES:,}")
    return tuple(text.removesuffix("\n").split("\n"))


def read_warmup(directory: pathlib.Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the signature and the batch of each warm-up request, if there are any."""
    if not (directory / _WARMUP).is_file():
        return
    with tensorflow_path(directory) as path:
        records = list(tf.data.TFRecordDataset(f"{path}/{_WARMUP}").as_numpy_iterator())
    for record in records:
        log = prediction_log_pb2.PredictionLog.FromString(record)
        if log.WhichOneof("log_type") == "classify_log":
            request = log.classify_log.request
            examples = request.input.example_list.examples
            batch = np.array([example.SerializeToString() for example in examples])
        else:
            request = log.predict_log.request
            (tensor,) = request.inputs.values()
            if tensor_bytes(tensor) > MAX_TENSOR_BYTES:
                raise ValueError("a batch is too large")
            batch = tf.make_ndarray(tensor)
        yield request.model_spec.signature_name, batch


def _next_version(base: pathlib.Path) -> pathlib.Path:
    versions = [version_of(entry.name) or 0 for entry in base.iterdir()]
    return base / str(max(versions, default=0) + 1)


def _write(classifier: Classifier, card: ModelCard, directory: pathlib.Path) -> None:
    servable = Servable(classifier)
    signatures = servable.signatures()
    for name, function in signatures.items():
        check_ops(name, function)
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)  # inference only
    with tensorflow_path(directory) as path:
        tf.saved_model.save(servable, path, signatures, options)
        # TensorFlow 2 gives every signature the method name of Predict.
        updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(path)
        updater.replace_method_name(CLASSIFY, tf.saved_model.CLASSIFY_METHOD_NAME, tags="serve")
        updater.save()
    (directory / MODEL_CARD).parent.mkdir(exist_ok=True)
    card.write(directory / MODEL_CARD, classifier.classes)
    write_labels(directory, classifier.classes)
    mean = classifier.preprocessor.statistics.mean  # an image of the right size
    _write_warmup(directory, signatures, np.clip(np.round(mean), 0, 255).astype(np.uint8))


def _write_warmup(
    directory: pathlib.Path,
    signatures: dict[str, tf.types.experimental.ConcreteFunction],
    image: np.ndarray,
) -> None:
    """Writes one request per signature, all with the same image, uint8 [S, S, 3]."""
    (directory / _WARMUP).parent.mkdir()
    encoded = tf.io.encode_jpeg(image).numpy()
    values = {"image_bytes": np.array([encoded]), "images": image[None]}
    with tensorflow_path(directory) as path, tf.io.TFRecordWriter(f"{path}/{_WARMUP}") as writer:
        for name, function in signatures.items():
            log = prediction_log_pb2.PredictionLog()
            spec = model_pb2.ModelSpec(name="alexnet", signature_name=name)
            if name == CLASSIFY:
                request = classification_pb2.ClassificationRequest(model_spec=spec)
                request.input.example_list.examples.add().ParseFromString(image_example(encoded))
                log.classify_log.request.CopyFrom(request)
            else:
                (argument,), _ = function.structured_input_signature
                inputs = {argument.name: tf.make_tensor_proto(values[argument.name])}
                request = predict_pb2.PredictRequest(model_spec=spec, inputs=inputs)
                log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString(deterministic=True))
