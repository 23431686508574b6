"""Predicts the five most probable classes of photographs.

python -m alexnet_tf.predict --model_dir=runs/shapes-tiny PHOTO.jpg FOLDER ...
python -m alexnet_tf.predict --saved_model=models/shapes --json=- FOLDER

The exit code is 1 if a file could not be read.
"""

from __future__ import annotations

import contextlib
import sys
import typing

from absl import flags as absl_flags

from alexnet_tf import app, flags

if typing.TYPE_CHECKING:  # NumPy takes time to import, and --help should not wait for it
    from alexnet_tf.evaluation.prediction import PredictFn, Prediction

_FLAGS = absl_flags.FLAGS
_BATCH_SIZE = 16  # files


def main(argv: list[str]) -> int:
    """Prints the predictions; returns 1 if a file could not be read."""
    from alexnet_tf.evaluation.prediction import find_images, print_predictions
    from alexnet_tf.system.errors import UserError

    if not argv:
        raise UserError("Expected image files or folders after the flags. Received: none")
    paths = find_images(argv)
    predict_fn, classes = _load()
    with _open_json() as json_lines:
        text = _FLAGS.json != "-"
        read = print_predictions(predict_fn, paths, _BATCH_SIZE, json_lines, text, classes)
        return 0 if read else 1


def _load() -> tuple[PredictFn, tuple[str, ...]]:
    """Loads a checkpoint or a SavedModel, which compute the same graph, and its class names."""
    import tensorflow as tf

    from alexnet_tf.evaluation.prediction import VIEW_SIGNATURES, decode_outputs
    from alexnet_tf.system.errors import UserError

    if bool(_FLAGS.model_dir) == bool(_FLAGS.saved_model):
        received = "both" if _FLAGS.model_dir else "neither"
        raise UserError(f"Expected --model_dir or --saved_model. Received: {received}")
    signature = VIEW_SIGNATURES[_FLAGS.views]
    if _FLAGS.saved_model:
        from alexnet_tf.serving.loaded_model import LoadedModel

        model = LoadedModel(_FLAGS.saved_model, _FLAGS.trust_model)
        if signature not in model.functions:
            raise UserError(f"{model.path} has no signature {signature}. Export the model again.")
        function, classes = model.functions[signature], model.labels
    else:
        from alexnet_tf.serving.signatures import Servable
        from alexnet_tf.training.directory import load_classifier

        classifier, _, _ = load_classifier(_FLAGS.model_dir, _FLAGS.checkpoint)
        function = Servable(classifier).signatures([signature])[signature]
        classes = classifier.classes

    def predict_fn(files: list[bytes]) -> list[Prediction]:
        """Predicts the classes of encoded images."""
        outputs = function(image_bytes=tf.constant(files, tf.string))
        return decode_outputs({name: tensor.numpy() for name, tensor in outputs.items()})

    return predict_fn, classes


@contextlib.contextmanager
def _open_json() -> typing.Iterator[typing.TextIO | None]:
    """Opens the output file of --json."""
    from alexnet_tf.system.errors import UserError
    from alexnet_tf.system.paths import local_path

    if not _FLAGS.json or _FLAGS.json == "-":
        yield sys.stdout if _FLAGS.json else None
        return
    try:
        file = local_path(_FLAGS.json).open("w", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"Cannot write --json={_FLAGS.json}: {error.strerror}. Choose another file."
        ) from None
    with file:
        yield file


if __name__ == "__main__":
    flags.define_model_dirs(required=False)
    absl_flags.DEFINE_string(
        "saved_model", None, "in place of --model_dir: a directory that alexnet_tf.export wrote"
    )
    flags.define_trust_model()
    flags.define_views()
    absl_flags.DEFINE_string(
        "json", None, "file that gets one JSON object per line; -: standard output"
    )
    app.run(main)
