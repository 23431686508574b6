"""Where examples come from, behind one interface.

    shapes         the built-in dataset, rendered on first use (`shapes.py`)
    folder         data_dir/train/<class>/... and data_dir/val/<class>/...
    anything else  a TensorFlow Datasets image classification dataset of that name

A source yields light records; decoding belongs to the pipeline.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import os
import pathlib
import re
import sys
from collections.abc import Callable

import tensorflow as tf
import tensorflow_datasets as tfds

from alexnet_tf.errors import UserError
from alexnet_tf.progress import Progress

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp")
# The first bytes of JPEG, PNG, GIF and BMP files.
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM")


@dataclasses.dataclass(frozen=True)
class Split:
    """A training or validation set.

    Attributes:
        records: index int64 (place in this order), image string, label int64; always in the same
            order.
        examples: how many.
        load: record's image to encoded bytes, a scalar string to a scalar string; in graph mode.
        light: whether a record is a mere file name, so that a whole set can be shuffled at once.
    """

    records: tf.data.Dataset
    examples: int
    load: Callable[[tf.Tensor], tf.Tensor]
    light: bool


@dataclasses.dataclass(frozen=True)
class Source:
    """A dataset to train and evaluate on.

    Attributes:
        name: as given.
        classes: names in label order.
        train, validation: the splits.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split


def open_source(name: str, data_dir: str | None = None) -> Source:
    """Opens a dataset by name, preparing it first where that is needed.

    Args:
        name: "shapes", "folder", or the name of a TFDS dataset, e.g. "cifar10" or
            "imagenet2012:5.1.0".
        data_dir: the folder of images; or where TFDS keeps datasets, None for its default.

    Raises:
        UserError: no such dataset or folder, a class without images, files that are no images,
            or a dataset that is no image classification.
    """
    if name == "folder":
        return _folder(data_dir)
    return _tfds(name, data_dir)


# --- image folders ---------------------------------------------------------------------------


def _folder(data_dir: str | None) -> Source:
    if not data_dir:
        raise UserError(
            "--dataset=folder needs --data_dir=DIR with DIR/train/<class>/ and DIR/val/"
        )
    root = pathlib.Path(data_dir).expanduser()
    if not root.is_dir():
        raise UserError(f"Expected a folder with train/<class>/ and val/<class>/. Received: {root}")
    classes = _class_names(root / "train")
    other = _class_names(root / "val")
    if classes != other:
        odd = sorted(set(classes) ^ set(other))
        raise UserError(
            f"Expected the same classes in train/ and val/ of {root}. Received: {odd[0]} "
            f"({len(odd)} in all) in one of them only"
        )
    return Source(
        "folder",
        classes,
        _folder_split(root / "train", classes),
        _folder_split(root / "val", classes),
    )


def _class_names(folder: pathlib.Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise UserError(f"Expected a folder of classes, one folder each. Received: no {folder}")
    names = tuple(
        sorted(e.name for e in folder.iterdir() if e.is_dir() and not e.name.startswith("."))
    )
    if not names:
        raise UserError(f"Expected one folder a class in {folder}. Received: none")
    return names


def _folder_split(folder: pathlib.Path, classes: tuple[str, ...]) -> Split:
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(
            str(path) for path in (folder / name).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES
        )
        if not found:
            raise UserError(
                f"Expected images ({', '.join(IMAGE_SUFFIXES)}) of every class. "
                f"Received: none in {folder / name}"
            )
        paths += found
        labels += [label] * len(found)
    _refuse_other_files(paths)
    records = tf.data.Dataset.from_tensor_slices(
        {
            "index": tf.range(len(paths), dtype=tf.int64),
            "image": tf.constant(paths),
            "label": tf.constant(labels, tf.int64),
        }
    )
    return Split(records, len(paths), tf.io.read_file, light=True)


def _refuse_other_files(paths: list[str]) -> None:
    """Looks at the first bytes of every file, so that a wrong folder is known before any work."""
    odd = []
    with Progress("looking at files", len(paths), "files") as progress:
        for path in paths:
            try:
                with open(path, "rb") as file:
                    start = file.read(8)
            except OSError as error:
                raise UserError(
                    f"Expected a readable image. Received: {path} ({error.strerror})"
                ) from None
            if not start.startswith(_MAGIC):
                odd.append((path, start))
            progress.advance(1)
    if odd:
        path, start = odd[0]
        raise UserError(
            f"Expected JPEG, PNG, GIF or BMP images. Received: {path}, which begins with {start!r}"
            + (f", and {len(odd) - 1} more such files" if len(odd) > 1 else "")
            + "; remove or rename what is no image"
        )


# --- TensorFlow Datasets ---------------------------------------------------------------------


def _tfds(name: str, data_dir: str | None) -> Source:
    builder = _builder(name, data_dir)
    keys = builder.info.supervised_keys
    features = builder.info.features
    if (
        not keys
        or not isinstance(features[keys[0]], tfds.features.Image)
        or not isinstance(features[keys[1]], tfds.features.ClassLabel)
    ):
        raise UserError(
            f"Expected an image classification dataset, with an image and a class label. "
            f"Received: {name}, with {list(features)}"
        )
    splits = builder.info.splits
    if "train" not in splits:
        raise UserError(f"Expected a split `train` in {name}. Received: {', '.join(splits)}")
    train, held_out = "train", next((s for s in ("validation", "test") if s in splits), None)
    if held_out is None:
        train, held_out = "train[:90%]", "train[90%:]"
        print(f"{name} has no split for validation: its last tenth is held out of training")
    return Source(
        name,
        tuple(features[keys[1]].names),
        _tfds_split(builder, train, keys),
        _tfds_split(builder, held_out, keys),
    )


def _builder(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    """A prepared TFDS builder."""
    if data_dir is not None:
        data_dir = os.path.expanduser(data_dir)
    try:
        if name == "shapes":
            from alexnet_tf.data.shapes import Shapes

            builder = Shapes(data_dir=data_dir)
        else:
            builder = tfds.builder(name, data_dir=data_dir)
    except (ValueError, AssertionError, ImportError, OSError) as error:
        known = ["shapes", "folder", *tfds.list_builders(with_community_datasets=False)]
        wanted = re.split("[:/]", name)[0].lower()
        close = difflib.get_close_matches(wanted.replace("-", ""), known, n=3)
        reason = f"did you mean {' or '.join(close)}?" if close else _first_line(error)
        raise UserError(
            "Expected --dataset=shapes, folder or the name of a TFDS dataset. "
            f"Received: {name}; {reason}"
        ) from None
    if not builder.is_prepared():
        print(f"Preparing the dataset {name} in {builder.data_dir} (once)", flush=True)
        if not sys.stderr.isatty():
            tfds.disable_progress_bar()
        try:
            # TFDS announces a download even where there is nothing to download.
            with contextlib.redirect_stdout(io.StringIO()):
                builder.download_and_prepare()
        except Exception as error:  # TFDS raises plain exceptions for failed downloads
            raise UserError(
                f"Expected dataset {name} in {builder.data_dir}, or to be able to prepare it "
                f"there (is --data_dir right?). Received: {_first_line(error)}"
            ) from None
    return builder


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _tfds_split(builder: tfds.core.DatasetBuilder, split: str, keys: tuple[str, str]) -> Split:
    image, label = keys
    dataset = builder.as_dataset(
        split=split,
        shuffle_files=False,  # the order must be the same in every run
        decoders={image: tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(try_autocache=False, add_tfds_id=False),
    )
    records = dataset.enumerate().map(
        lambda index, example: {"index": index, "image": example[image], "label": example[label]}
    )
    return Split(records, builder.info.splits[split].num_examples, lambda image: image, light=False)
