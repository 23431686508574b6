"""Draws the figures of the paper and of the lecture from a trained model.

python -m alexnet_tf.figures --model_dir=runs/shapes-tiny --output=figures
python -m alexnet_tf.figures --model_dir=runs/shapes-tiny units attention --layer=conv3 --units=7,12
python -m alexnet_tf.figures --model_dir=runs/shapes-tiny neighbours --photo=cat.jpg
python -m alexnet_tf.figures --variant=paper architecture

For each figure it writes NAME.png, NAME.svg, NAME.txt (the caption) and NAME.json (the numbers).
Without names it draws all figures and writes index.html as well: one page with every figure, which
needs no other file. `neighbours` also writes the features and their index to neighbours/, and
`projector` writes projector/ for TensorBoard. With --variant and no names it draws the figures that
need no trained model. The exit code is 1 if a figure could not be drawn.

"""

from __future__ import annotations

import pathlib
import re
import sys
import textwrap
import typing

from absl import flags as absl_flags

from alexnet_tf import app, flags
from alexnet_tf.data import splits
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.paths import local_path

if typing.TYPE_CHECKING:
    from alexnet_tf.figures.context import FigureContext, FigureDataset

_FLAGS = absl_flags.FLAGS


def _registered_names() -> list[str]:
    """Names of the figures in order, read from the source: importing it would take seconds."""
    source = "".join(
        path.read_text("utf-8") for path in pathlib.Path(__file__).parent.glob("plots/*.py")
    )
    found = re.findall(r'^@figure\("([\w-]+)", .*order=(\d+)\)$', source, re.MULTILINE)
    return [name for name, _ in sorted(found, key=lambda entry: int(entry[1]))]


__doc__ = (__doc__ or "") + textwrap.fill(  # none under python -OO
    f"Figures: {' '.join(_registered_names())}", 100, break_on_hyphens=False
)


def main(argv: list[str]) -> int:
    """Draws and writes; returns 1 if a figure could not be drawn."""
    from alexnet_tf.figures.registry import all_figures, find_figures
    from alexnet_tf.figures.report import PAGE, draw_report, make_folder

    figures = find_figures(dict.fromkeys(argv)) or list(all_figures().values())
    if _FLAGS.variant and not argv:
        figures = [each for each in figures if each.needs == "variant"]
    output = make_folder(_FLAGS.output)
    context, facts = _variant_alone() if _FLAGS.variant else _open_model()
    page = not argv and not _FLAGS.variant
    drawn, missing = draw_report(context, output, figures, facts, page)
    for reason in dict.fromkeys(missing.values()):
        names = ", ".join(name for name, why in missing.items() if why == reason)
        print(f"error: {names}: {reason}", file=sys.stderr)
    seen_at = f"; all on one page: {output / PAGE}" if page else ""
    print(f"{len(drawn)} figure{'' if len(drawn) == 1 else 's'} in {output}{seen_at}")
    return 1 if missing else 0


def _open_model() -> tuple[FigureContext, dict[str, object]]:
    """Opens the model and images that the flags name, with facts for the top of the page."""
    from alexnet_tf.figures.context import FigureContext
    from alexnet_tf.training.directory import ModelDirectory

    try:
        photo = local_path(_FLAGS.photo).read_bytes() if _FLAGS.photo else None
    except OSError as error:
        raise UserError(
            f"Expected --photo to be an image. Received: {_FLAGS.photo} ({error.strerror})"
        ) from None
    directory = ModelDirectory(_FLAGS.model_dir)
    classifier, metadata, saved = directory.load(_FLAGS.checkpoint)
    variant = metadata.resolve_variant()
    dataset, data_dir, validation = metadata.find_dataset(_FLAGS.dataset, _FLAGS.data_dir)
    named = _FLAGS.split or (validation if validation != splits.EARLIER else None) or "validation"
    runs = [directory.path, *(ModelDirectory(path).path for path in _FLAGS.compare)]
    context = FigureContext(
        classifier, variant, lambda: _open_dataset(dataset, data_dir, validation), _FLAGS.images,
        _FLAGS.layer, tuple(map(int, _FLAGS.units)), photo, tuple(runs),
    )  # fmt: skip
    try:
        _ = photo and context.photo_image  # reports a damaged photo before the work
    except UserError as error:
        raise UserError(f"--photo={_FLAGS.photo}: {error}") from None
    return context, {
        "variant": f"{metadata.variant}: {variant.summary}",
        "step": saved.step,
        "dataset": f"{dataset}, {named}",
    }


def _open_dataset(dataset: str, data_dir: str | None, validation: str | None) -> FigureDataset:
    from alexnet_tf.data.sources import open_split
    from alexnet_tf.figures.context import FigureDataset

    opened = open_split(dataset, data_dir, _FLAGS.split, 1.0, validation)
    return FigureDataset(opened.validation, opened.classes)


def _variant_alone() -> tuple[FigureContext, dict[str, object]]:
    """Opens an untrained variant, without images."""
    from alexnet_tf.figures.context import FigureContext
    from alexnet_tf.models.build import build_model
    from alexnet_tf.models.variants import get_variant

    variant = get_variant(_FLAGS.variant)
    context = FigureContext.from_model(build_model(variant), variant=variant)
    return context, {"variant": f"{variant.name}: {variant.summary}"}


if __name__ == "__main__":
    absl_flags.DEFINE_string("model_dir", None, "model directory, written by alexnet_tf.train")
    absl_flags.DEFINE_string("variant", None, "an untrained variant, in place of --model_dir")
    absl_flags.mark_flags_as_mutual_exclusive(["model_dir", "variant"], required=True)
    absl_flags.DEFINE_enum(
        "checkpoint", "newest", ["newest", "best"],
        "which checkpoint; best: the one with the lowest validation error",
    )  # fmt: skip
    absl_flags.DEFINE_string("output", "figures", "directory for the files")
    absl_flags.DEFINE_string(
        "dataset",
        None,
        "dataset of the images; its classes may differ; default: the training dataset",
    )
    absl_flags.DEFINE_string("data_dir", None, "where the dataset is, as in training")
    flags.define_split()
    absl_flags.DEFINE_integer(
        "images", 2000, "maximum number of images, evenly spaced over the split", lower_bound=2
    )
    absl_flags.DEFINE_string(
        "photo", None,
        "photograph for the figures that show one image; also first in neighbours and attention",
    )  # fmt: skip
    absl_flags.DEFINE_string("layer", "conv5", "layer whose units are shown: conv1 to fc8")
    absl_flags.DEFINE_list(
        "units", [],
        "unit numbers, from 0, at most six; default: the units that differ most between classes",
    )  # fmt: skip
    absl_flags.register_validator(
        "units", lambda units: all(unit.isdecimal() for unit in units), "must be numbers, from 0"
    )
    flags.define_paths("compare", [], "further model directories for the training curves")
    app.run(main)
