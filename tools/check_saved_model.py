"""Compares a SavedModel, in a process that cannot import alexnet_tf, with the evaluation.

python -m tools.check_saved_model --model_dir=runs/shapes-tiny --images=2000
python -m tools.check_saved_model --model_dir=runs/shapes-tiny --photos=DIR

Both get the same files, from the validation split or from a folder. For all files, with one view
and with ten, the five best classes must be the same and their probabilities within 1e-5. Otherwise
the exit code is 1.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile
import typing

import numpy as np
from absl import flags as absl_flags

from alexnet_tf import app, flags

if typing.TYPE_CHECKING:
    from alexnet_tf.training.metadata import RunMetadata

_FLAGS = absl_flags.FLAGS
_TOLERANCE = 1e-5

# Arguments: SavedModel, TFRecord file of images, signature, output file.
_ELSEWHERE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "alexnet_tf":
            raise ImportError(f"{name} must not be needed")
sys.meta_path.insert(0, Refuse())
import numpy as np
import tensorflow as tf
saved_model, images, signature, output = sys.argv[1:]
function = tf.saved_model.load(saved_model).signatures[signature]
answers = [function(image_bytes=batch) for batch in tf.data.TFRecordDataset(images).batch(50)]
names = ("classes", "scores", "valid")
parts = {name: np.concatenate([answer[name].numpy() for answer in answers]) for name in names}
np.savez(output, **{**parts, "classes": parts["classes"].astype(bytes)})
"""


def main(argv: list[str]) -> int:
    """Compares; returns the exit code."""
    import tensorflow as tf

    from alexnet_tf.data.dataset import make_split
    from alexnet_tf.evaluation.evaluator import Evaluator
    from alexnet_tf.evaluation.prediction import VIEW_SIGNATURES
    from alexnet_tf.serving.model_safety import check_saved_model
    from alexnet_tf.serving.saved_model import find_version
    from alexnet_tf.system.errors import UserError
    from alexnet_tf.training.directory import ModelDirectory
    from alexnet_tf.training.distributed import make_strategy

    directory = ModelDirectory(_FLAGS.model_dir)
    classifier, metadata, _ = directory.load(_FLAGS.checkpoint)
    saved_model = find_version(_FLAGS.saved_model or directory.saved_model)
    check_saved_model(saved_model)
    files = _files(metadata)
    split = make_split(files, [0] * len(files), "compared")
    names = [name.encode() for name in classifier.classes]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        images = f"{folder}/images"
        with tf.io.TFRecordWriter(images) as writer:
            for file in files:
                writer.write(file)
        for views, signature in VIEW_SIGNATURES.items():
            output = pathlib.Path(folder, f"{signature}.npz")
            command = [sys.executable, "-c", _ELSEWHERE, saved_model, images, signature, output]
            done = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True)
            if done.returncode:
                raise UserError(
                    f"The process that loads {saved_model} failed: {done.stderr[-300:]}"
                )
            served = np.load(output)
            predictions = Evaluator(classifier, make_strategy("one"), 50, int(views)).predict(split)
            expected = [[names[i] for i in row] for row in predictions.predicted]
            same = (served["classes"] == np.array(expected)).all(axis=1)
            gaps = np.abs(served["scores"] - predictions.probabilities)[served["valid"]]
            gap = gaps.max(initial=0)
            agreed = bool((served["valid"] == predictions.readable).all())
            print(
                f"{signature}: the same five classes on {same.sum():,} of {len(files):,} images, "
                f"probabilities at most {gap:.1e} apart, "
                f"{'the same' if agreed else 'not the same'} images unreadable"
            )
            wrong += not (same[served["valid"]].all() and gap < _TOLERANCE and agreed)
    return 1 if wrong else 0


def _files(metadata: RunMetadata) -> list[bytes]:
    """Reads the encoded images to compare."""
    from alexnet_tf.data.sources import open_split
    from alexnet_tf.evaluation.prediction import find_images

    if _FLAGS.photos:
        paths = [path for path in find_images([_FLAGS.photos]) if path.is_file()]
        return [path.read_bytes() for path in paths[: _FLAGS.images]]
    name, data_dir, validation = metadata.find_dataset(None, None)
    split = open_split(name, data_dir, validation_split=validation).validation
    records = split.in_order().take(_FLAGS.images).batch(1)
    return [split.load(split.parse(record)[0][0]).numpy() for record in records]


if __name__ == "__main__":
    flags.define_model_dir()
    absl_flags.DEFINE_string(
        "saved_model", None, "directory of the SavedModel; default: the newest in --model_dir"
    )
    absl_flags.DEFINE_string("photos", None, "folder of photographs, in place of the dataset")
    absl_flags.DEFINE_integer(
        "images", 2000, "number of images, from the first one on", lower_bound=1
    )
    app.run(main, flags_only=True)
