"""Draws every picture of the paper and of the lecture from a trained model.

python -m alexnet_tf.figures --model_dir=runs/shapes-tiny --output=figures
python -m alexnet_tf.figures --model_dir=runs/shapes-tiny units attention --layer=conv3 --units=7,12
python -m alexnet_tf.figures --model_dir=runs/shapes-tiny neighbours --photo=cat.jpg
python -m alexnet_tf.figures --variant=paper

Writes for each picture NAME.png, NAME.svg, NAME.txt, the caption, and NAME.json, the numbers;
index.html, which shows all of them and needs no other file; neighbours/, the features with their
index; and projector/, for TensorBoard. Named pictures are written alone, and the page stays as it
is; the names are:
    convolution max-pooling response-normalisation nonlinearities architecture crops ten-views
    lighting first-layer-kernels predictions neighbours units attention training confusions
    projector
Of a variant without a model it draws what needs none: convolution architecture.
The exit code is 1 if one of them could not be drawn.
"""

from __future__ import annotations

import pathlib
import sys
import typing

from absl import flags as absl_flags

from alexnet_tf import app
from alexnet_tf.system.errors import UserError

if typing.TYPE_CHECKING:
    from alexnet_tf.figures.context import FigureContext, Images

_FLAGS = absl_flags.FLAGS
_OF_A_VARIANT = ("convolution", "architecture")


def main(argv: list[str]) -> int:
    """Draws and writes; returns 1 if a picture could not be drawn."""
    from alexnet_tf.figures.report import PAGE, check_names, draw_report, make_folder

    names = tuple(dict.fromkeys(argv)) or (_OF_A_VARIANT if _FLAGS.variant else ())
    check_names(names)
    output = make_folder(_FLAGS.output)
    subject, facts = _variant_alone() if _FLAGS.variant else _open_subject()
    pictures, missing = draw_report(subject, output, names, facts)
    for reason in dict.fromkeys(missing.values()):
        theirs = ", ".join(name for name, why in missing.items() if why == reason)
        print(f"error: {theirs}: {reason}", file=sys.stderr)
    page = "" if names else f"; all of them: {output / PAGE}"
    print(f"{len(pictures)} picture{'' if len(pictures) == 1 else 's'} in {output}{page}")
    return 1 if missing else 0


def _open_subject() -> tuple[FigureContext, dict[str, object]]:
    """What the flags name, and the facts that stand on top of the page."""
    from alexnet_tf.figures.context import FigureContext
    from alexnet_tf.training.directory import ModelDirectory

    directory = ModelDirectory(_FLAGS.model_dir)
    classifier, card, saved = directory.load(_FLAGS.checkpoint)
    dataset = _FLAGS.dataset or card.dataset
    data_dir = _FLAGS.data_dir or (None if _FLAGS.dataset else card.data_dir)
    runs = [directory.path, *(ModelDirectory(path).path for path in _FLAGS.compare)]
    subject = FigureContext(
        classifier, card.resolve_variant(), lambda: _open_images(dataset, data_dir), _FLAGS.images,
        _FLAGS.layer, tuple(map(int, _FLAGS.units)), _read_photo(), tuple(runs),
    )  # fmt: skip
    if subject.photo is not None:
        _check_photo(subject)  # before the work, not after it
    return subject, {
        "variant": f"{card.variant}: {card.resolve_variant().summary}",
        "step": saved.step,
        "dataset": f"{dataset}, {_FLAGS.split}",
    }


def _open_images(dataset: str, data_dir: str | None) -> Images:
    from alexnet_tf.data.sources import open_dataset
    from alexnet_tf.figures.context import Images

    source = open_dataset(dataset, data_dir, max_unreadable=1.0)
    split = source.train if _FLAGS.split == "train" else source.validation
    return Images(split, source.classes)


def _read_photo() -> bytes | None:
    try:
        return pathlib.Path(_FLAGS.photo).expanduser().read_bytes() if _FLAGS.photo else None
    except OSError as error:
        raise UserError(
            f"Expected --photo to be an image. Received: {_FLAGS.photo} ({error.strerror})"
        ) from None


def _check_photo(subject: FigureContext) -> None:
    try:
        _ = subject.square
    except UserError:
        raise UserError(
            f"Expected --photo to be a JPEG, PNG, GIF or BMP. Received: {_FLAGS.photo}, which is "
            "none, damaged or too large"
        ) from None


def _variant_alone() -> tuple[FigureContext, dict[str, object]]:
    """A variant as it is before training, without images."""
    from alexnet_tf.figures.untrained import untrained
    from alexnet_tf.models.variants import get_variant

    variant = get_variant(_FLAGS.variant)
    return untrained(variant), {"variant": f"{variant.name}: {variant.summary}"}


if __name__ == "__main__":
    absl_flags.DEFINE_string("model_dir", None, "a directory that alexnet_tf.train wrote")
    absl_flags.DEFINE_string("variant", None, "in place of --model_dir: the variant itself")
    absl_flags.mark_flags_as_mutual_exclusive(["model_dir", "variant"], required=True)
    absl_flags.DEFINE_enum(
        "checkpoint", "newest", ["newest", "best"], "best: that of the lowest validation error"
    )
    absl_flags.DEFINE_string("output", "figures", "a directory for what is written")
    absl_flags.DEFINE_string(
        "dataset", None, "default: what the model was trained on; its classes may be others"
    )
    absl_flags.DEFINE_string("data_dir", None, "the dataset's place, as in training")
    absl_flags.DEFINE_enum("split", "validation", ["validation", "train"], "which part of it")
    absl_flags.DEFINE_integer("images", 2000, "of the split at most, evenly spaced", lower_bound=2)
    absl_flags.DEFINE_string(
        "photo", None, "for pictures of one, and the first to be attended to and given neighbours"
    )
    absl_flags.DEFINE_string("layer", "conv5", "whose units are shown: conv1 ... fc8")
    absl_flags.DEFINE_list(
        "units", [], "numbers, from 0, six at most; default: those that differ most between classes"
    )
    absl_flags.register_validator(
        "units", lambda units: all(unit.isdecimal() for unit in units), "must be numbers, from 0"
    )
    absl_flags.DEFINE_list("compare", [], "model directories of other runs for the error curves")
    app.run(main)
