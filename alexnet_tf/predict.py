"""Names what is on photographs, with the five most probable classes of each.

python -m alexnet_tf.predict --model_dir=runs/shapes-tiny PHOTO.jpg FOLDER ...
python -m alexnet_tf.predict --saved_model=models/shapes --json=- FOLDER

The exit code is 1 if there was a file that could not be read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import typing

from absl import flags as absl_flags

from alexnet_tf import app, flags

if typing.TYPE_CHECKING:  # they take seconds to import, which --help need not wait for
    from alexnet_tf.evaluation.prediction import Ask, Row

_FLAGS = absl_flags.FLAGS
_BATCH = 16  # files


def main(argv: list[str]) -> int:
    """Predicts image by image; returns 1 if one of them could not be read."""
    from alexnet_tf.evaluation.prediction import find_images, predict
    from alexnet_tf.system.errors import UserError
    from alexnet_tf.system.progress import Progress

    if not argv:
        raise UserError("Expected image files or folders after the flags. Received: none")
    paths = find_images(argv)
    ask = _load()
    unreadable = 0
    with _output() as output, Progress("predicting", len(paths), "files") as progress:
        for predictions in predict(ask, paths, _BATCH):
            for prediction in predictions:
                if prediction.reason:
                    unreadable += 1
                    message = f"error: cannot read {prediction.path}: {prediction.reason}"
                    print(message, file=sys.stderr)
                if output is not None:
                    output.write(json.dumps(dataclasses.asdict(prediction)) + "\n")
                if _FLAGS.json != "-" and not prediction.reason:
                    progress.write(str(prediction))
            progress.advance(len(predictions))
    return 1 if unreadable else 0


def _load() -> Ask:
    """What answers, of a checkpoint or of a SavedModel: the same graph."""
    import tensorflow as tf

    from alexnet_tf.evaluation.prediction import rows_of
    from alexnet_tf.serving.loaded_model import LoadedModel
    from alexnet_tf.serving.signatures import Servable
    from alexnet_tf.system.errors import UserError
    from alexnet_tf.training.directory import load_classifier

    if bool(_FLAGS.model_dir) == bool(_FLAGS.saved_model):
        raise UserError(
            "Expected --model_dir or --saved_model. Received: "
            f"{'both' if _FLAGS.model_dir else 'neither'}"
        )
    name = "ten_view" if _FLAGS.views == "10" else "serving_default"
    if _FLAGS.saved_model:
        model = LoadedModel(_FLAGS.saved_model)
        if name not in model.functions:
            raise UserError(f"Expected signature {name} in {model.path}. Received: none")
        function = model.functions[name]
    else:
        classifier, _, _ = load_classifier(_FLAGS.model_dir, _FLAGS.checkpoint)
        function = Servable(classifier).signatures([name])[name]

    def ask(files: list[bytes]) -> list[Row]:
        """What the model says of encoded files."""
        answer = function(image_bytes=tf.constant(files, tf.string))
        return rows_of({name: tensor.numpy() for name, tensor in answer.items()})

    return ask


@contextlib.contextmanager
def _output() -> typing.Iterator[typing.TextIO | None]:
    """Where --json goes to."""
    from alexnet_tf.system.errors import UserError

    if not _FLAGS.json or _FLAGS.json == "-":
        yield sys.stdout if _FLAGS.json else None
        return
    try:
        file = open(_FLAGS.json, "w", encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError as error:
        raise UserError(
            f"Expected --json to be a file that can be written. Received: {_FLAGS.json} "
            f"({error.strerror})"
        ) from None
    with file:
        yield file


if __name__ == "__main__":
    flags.define_model_dirs(required=False)
    absl_flags.DEFINE_string("saved_model", None, "in place of --model_dir: what export wrote")
    flags.define_views()
    absl_flags.DEFINE_string("json", None, "a file for one JSON object a line; -: standard output")
    app.run(main)
