"""Names what is on photographs, with the five most probable classes of each.

python -m alexnet_tf.predict --model_dir=runs/shapes-tiny PHOTO.jpg OTHER.png ...
"""

from __future__ import annotations

import pathlib
import sys

from alexnet_tf import app, flags


def main(argv: list[str]) -> int:
    """Predicts image by image; returns 1 if one of them could not be read."""
    import tensorflow as tf
    from absl.flags import FLAGS

    from alexnet_tf.errors import UserError
    from alexnet_tf.training.directory import ModelDirectory

    if not argv:
        raise UserError("Expected image files after the flags. Received: none")
    classifier, _, _ = ModelDirectory(FLAGS.model_dir).load(FLAGS.checkpoint)
    top = min(5, len(classifier.classes))
    unreadable = 0
    for path in argv:
        try:
            images = classifier.decode(tf.constant([pathlib.Path(path).read_bytes()]))
        except (OSError, tf.errors.InvalidArgumentError) as error:
            reason = getattr(error, "strerror", None) or "not a JPEG, PNG, GIF or BMP, or damaged"
            print(f"error: cannot read {path}: {reason}", file=sys.stderr)
            unreadable += 1
            continue
        probabilities = classifier.probabilities(images, int(FLAGS.views))[0]
        scores, indices = tf.math.top_k(probabilities, top)
        print(path)
        for score, index in zip(scores.numpy(), indices.numpy(), strict=True):
            print(f"  {score:6.2%}  {'█' * round(30 * score):30}  {classifier.classes[index]}")
    return 1 if unreadable else 0


if __name__ == "__main__":
    flags.define_model_dir()
    flags.define_views()
    app.run(main)
