"""Draws every picture of the paper and of the lecture from a trained model.

python -m tools.figures --model_dir=runs/shapes-tiny --output=figures
python -m tools.figures --model_dir=runs/shapes-tiny units attention --layer=conv3 --units=7,12

Writes NAME.png, NAME.svg and NAME.txt, the caption, for each picture; index.html, which shows all
of them with the numbers behind them and needs no other file; numbers.json; neighbours/, the
features with their index; and projector/, for TensorBoard. Named pictures are written alone; the
names are:
    convolution max-pooling response-normalisation nonlinearities architecture crops ten-views
    lighting first-layer-kernels predictions neighbours units attention training confusions
    projector
The exit code is 1 if one of them could not be drawn.
"""

from __future__ import annotations

import json
import pathlib
import sys
import typing

from absl import flags as absl_flags

from alexnet_tf import app, flags
from alexnet_tf.errors import UserError

if typing.TYPE_CHECKING:
    from alexnet_tf.figures.picture import Picture
    from alexnet_tf.figures.subject import Subject

_FLAGS = absl_flags.FLAGS
_PROJECTOR = "projector"  # which is no picture, but is asked for in the same way
_WITHOUT_IMAGES = {"convolution", "architecture", "first-layer-kernels", "training"}


def main(argv: list[str]) -> int:
    """Draws and writes; returns 1 if a picture could not be drawn."""
    from alexnet_tf.figures.catalogue import CATALOGUE
    from alexnet_tf.progress import Progress

    names = argv or [*CATALOGUE, _PROJECTOR]
    if unknown := set(names) - {*CATALOGUE, _PROJECTOR}:
        raise UserError(
            f"Expected pictures among {', '.join(CATALOGUE)}, {_PROJECTOR}. "
            f"Received: {', '.join(sorted(unknown))}"
        )
    output = _make_directory(_FLAGS.output)
    subject, facts = _open_subject()
    if set(names) - _WITHOUT_IMAGES:
        facts["images looked at"] = len(subject.survey.labels)  # with a progress bar of its own
        facts["images that could not be decoded"] = subject.survey.unreadable
    pictures: list[Picture] = []
    missing: dict[str, str] = {}
    with Progress("drawing", len(names), "pictures") as progress:
        for name in names:
            try:
                if name == _PROJECTOR:
                    _write_projector(subject, output)
                else:
                    pictures.append(CATALOGUE[name](subject))
                    pictures[-1].save(output)
            except UserError as error:
                missing[name] = str(error)
            progress.advance(1, name)
    if "neighbours" in names:
        _write_index(subject, output)
    _write_page(output, facts, pictures, missing)
    for name, reason in missing.items():
        print(f"error: {name}: {reason}", file=sys.stderr)
    print(f"{len(pictures)} pictures in {output}; all of them: {output / 'index.html'}")
    return 1 if missing else 0


def _make_directory(path: str) -> pathlib.Path:
    """Sees that something can be written there, before the work and not after it."""
    folder = pathlib.Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".trial").touch()
        (folder / ".trial").unlink()
    except OSError as error:
        raise UserError(
            f"Expected --output to be a directory that can be written. Received: {folder} "
            f"({error.strerror})"
        ) from None
    return folder


def _open_subject() -> tuple[Subject, dict[str, object]]:
    """What the flags name, and the facts that stand on top of the page."""
    from alexnet_tf.data.sources import open_source
    from alexnet_tf.figures.subject import Subject
    from alexnet_tf.training.directory import ModelDirectory

    directory = ModelDirectory(_FLAGS.model_dir)
    classifier, card, saved = directory.load(_FLAGS.checkpoint)
    dataset = _FLAGS.dataset or card.dataset
    data_dir = _FLAGS.data_dir or (None if _FLAGS.dataset else card.data_dir)
    source = open_source(dataset, data_dir, max_unreadable=1.0)
    if source.classes != card.classes:
        raise UserError(
            f"Expected a dataset with the model's {len(card.classes)} classes. Received: {dataset} "
            f"with {len(source.classes)} ({source.classes[0]}, ...)"
        )
    split = source.train if _FLAGS.split == "train" else source.validation
    others = [ModelDirectory(path).path for path in _FLAGS.compare]
    try:
        photo = pathlib.Path(_FLAGS.photo).expanduser().read_bytes() if _FLAGS.photo else None
    except OSError as error:
        raise UserError(
            f"Expected --photo to be an image. Received: {_FLAGS.photo} ({error.strerror})"
        ) from None
    subject = Subject(
        classifier, card.spec(), split, _FLAGS.images, _FLAGS.layer, tuple(map(int, _FLAGS.units)),
        photo, (directory.path, *others),
    )  # fmt: skip
    facts = {
        "variant": f"{card.variant}: {card.spec().summary}",
        "step": saved.step,
        "dataset": f"{source.name}, {_FLAGS.split}",
    }
    return subject, facts


def _write_projector(subject: Subject, output: pathlib.Path) -> None:
    from alexnet_tf.figures.projector import write_projector

    write_projector(subject, output / _PROJECTOR)


def _write_index(subject: Subject, output: pathlib.Path) -> None:
    """The features with their index, for programs of one's own."""
    from alexnet_tf.figures.neighbors import Neighbors

    folder = _make_directory(str(output / "neighbours"))
    survey = subject.survey
    Neighbors(survey.features).save(folder, index=survey.index, labels=survey.labels)


def _write_page(
    output: pathlib.Path, facts: dict[str, object], pictures: list[Picture], missing: dict[str, str]
) -> None:
    from alexnet_tf.figures.page import render_page

    entries = [
        (p.name, p.title, p.caption, (output / f"{p.name}.png").read_bytes(), p.numbers)
        for p in pictures
    ]
    page = render_page("AlexNet, looked inside", facts, entries, missing)
    (output / "index.html").write_text(page, encoding="utf-8")
    values = {picture.name: picture.numbers for picture in pictures}
    (output / "numbers.json").write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    flags.define_model_dir()
    absl_flags.DEFINE_string("output", "figures", "a directory for what is written")
    absl_flags.DEFINE_string("dataset", None, "default: what the model was trained on")
    absl_flags.DEFINE_string("data_dir", None, "the dataset's place, as in training")
    absl_flags.DEFINE_enum("split", "validation", ["validation", "train"], "which part of it")
    absl_flags.DEFINE_integer("images", 2000, "of the split at most, evenly spaced", lower_bound=2)
    absl_flags.DEFINE_string("photo", None, "for pictures of one; default: one of the dataset's")
    absl_flags.DEFINE_string("layer", "conv5", "whose units are shown: conv1 ... fc8")
    absl_flags.DEFINE_list(
        "units", [], "numbers, from 0; default: those that differ most between classes"
    )
    absl_flags.register_validator(
        "units", lambda units: all(unit.isdecimal() for unit in units), "must be numbers, from 0"
    )
    absl_flags.DEFINE_list("compare", [], "model directories of other runs for the error curves")
    app.run(main)
