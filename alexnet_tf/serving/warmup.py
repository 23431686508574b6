"""Requests that TensorFlow Serving runs before it takes others, so that the first is not slow.

`assets.extra/tf_serving_warmup_requests` is a TFRecord file of PredictionLog messages, one a
signature here; https://www.tensorflow.org/tfx/serving/saved_model_warmup.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
)

from alexnet_tf.serving.signatures import CLASSIFY, EXAMPLE_KEY

FILE = pathlib.PurePath("assets.extra", "tf_serving_warmup_requests")


def write_warmup(
    directory: pathlib.Path,
    signatures: dict[str, tf.types.experimental.ConcreteFunction],
    image: np.ndarray,
) -> None:
    """Writes one request for each signature.

    Args:
        directory: of the SavedModel.
        signatures: of it.
        image: uint8 [S, S, 3], what all requests show.
    """
    path = directory / FILE
    path.parent.mkdir()
    encoded = tf.io.encode_jpeg(image).numpy()
    values = {"image_bytes": np.array([encoded]), "images": image[None]}
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, function in signatures.items():
            spec = model_pb2.ModelSpec(name="alexnet", signature_name=name)
            if name == CLASSIFY:
                record = prediction_log_pb2.PredictionLog(
                    classify_log=prediction_log_pb2.ClassifyLog(
                        request=_classification(spec, encoded)
                    )
                )
            else:
                (argument,), _ = function.structured_input_signature
                inputs = {argument.name: tf.make_tensor_proto(values[argument.name])}
                record = prediction_log_pb2.PredictionLog(
                    predict_log=prediction_log_pb2.PredictLog(
                        request=predict_pb2.PredictRequest(model_spec=spec, inputs=inputs)
                    )
                )
            writer.write(record.SerializeToString(deterministic=True))


def _classification(
    spec: model_pb2.ModelSpec, encoded: bytes
) -> classification_pb2.ClassificationRequest:
    request = classification_pb2.ClassificationRequest(model_spec=spec)
    example = request.input.example_list.examples.add()
    example.features.feature[EXAMPLE_KEY].bytes_list.value.append(encoded)
    return request


def read_warmup(directory: pathlib.Path) -> Iterator[tuple[str, np.ndarray]]:
    """Signature names and batches to run them on, of a SavedModel that has them."""
    path = directory / FILE
    if not path.exists():
        return
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        if log.WhichOneof("log_type") == "classify_log":
            request = log.classify_log.request
            examples = request.input.example_list.examples
            batch = np.array([example.SerializeToString() for example in examples])
        else:
            request = log.predict_log.request
            (batch,) = map(tf.make_ndarray, request.inputs.values())
        yield request.model_spec.signature_name, batch
