"""Predicts the classes of photographs with a server: TensorFlow Serving, or alexnet_tf.serve.

python -m alexnet_tf.client --server=http://127.0.0.1:8501 PHOTO.jpg FOLDER ...
python -m alexnet_tf.client --server=grpc://127.0.0.1:8500 PHOTO.jpg

If the server is busy, the client tries again until --timeout has passed. The exit code is 1 if a
file could not be read.
"""

from __future__ import annotations

from absl import flags

from alexnet_tf import app

_FLAGS = flags.FLAGS


def main(argv: list[str]) -> int:
    """Prints the predictions; returns 1 if a file could not be read."""
    from alexnet_tf.evaluation.prediction import VIEW_SIGNATURES, find_images, print_predictions
    from alexnet_tf.serving.client import make_client, split_requests
    from alexnet_tf.system.errors import UserError

    if not argv:
        raise UserError("Expected image files or folders after the flags. Received: none")
    client = make_client(_FLAGS.server, _FLAGS.model, _FLAGS.timeout)
    predict_fn = split_requests(client, VIEW_SIGNATURES[_FLAGS.views], int(_FLAGS.batch_mb * 2**20))
    return 0 if print_predictions(predict_fn, find_images(argv), _FLAGS.batch_size) else 1


if __name__ == "__main__":
    flags.DEFINE_string("server", "http://127.0.0.1:8501", "http://host:port or grpc://host:port")
    flags.DEFINE_string("model", "alexnet", "name of the model on the server")
    flags.DEFINE_enum(
        "views", "1", ["1", "10"], "views of each image; their probabilities are averaged"
    )
    flags.DEFINE_integer("batch_size", 8, "images per request", lower_bound=1)
    flags.DEFINE_float("batch_mb", 8.0, "MiB of image files per request", lower_bound=0.001)
    flags.DEFINE_float("timeout", 60.0, "seconds to wait for an answer", lower_bound=0.1)
    app.run(main, needs_tensorflow=lambda: _FLAGS.server.startswith("grpc:"))
