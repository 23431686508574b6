"""Datasets in the format of TensorFlow Datasets (TFDS): by name, or in a directory.

`alexnet_tf.prepare` writes the same format, and beside it a report with the size and the digest of
each file, by which a damaged one is found.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import json
import os
import pathlib
import re
import sys
from collections.abc import Sequence
from concurrent import futures
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from alexnet_tf.data import splits
from alexnet_tf.data.class_folders import LeftOut
from alexnet_tf.data.dataset import Records, Split, StoredDataset
from alexnet_tf.system.errors import UserError, first_line
from alexnet_tf.system.files import file_sha256
from alexnet_tf.system.progress import Progress

METADATA = "dataset_info.json"  # TFDS writes it into every dataset
STATISTICS = "statistics.npz"  # `alexnet_tf.prepare`: of the training set
REPORT = "report.json"  # `alexnet_tf.prepare` writes it last
_BUILT_IN = ("shapes", "folder")


def open_tfds(name: str, data_dir: str | None) -> StoredDataset:
    """Opens a dataset, and prepares it first where that is needed.

    Args:
        name: of a TFDS dataset, or the absolute path of a directory.
        data_dir: where TFDS keeps datasets; None for its default.

    Raises:
        UserError: no such dataset, an incomplete one, or not an image classification dataset.
    """
    directory = os.path.expanduser(name)
    if os.path.isabs(directory):
        builder = builder_of_directory(directory)
    else:
        builder = builder_of_name(name, data_dir, "--dataset=shapes, folder, a prepared directory")
    keys = image_and_label(builder)
    _check_files(builder)
    classes = tuple(builder.info.features[keys[1]].names)
    names = splits_with_images(builder)
    last_tenth = splits.LAST_TENTH if splits.TRAIN in names else None
    earlier = next((name for name in ("validation", "test") if name in names), last_tenth)
    statistics = pathlib.Path(builder.data_dir) / STATISTICS

    def load(names: Sequence[str]) -> tuple[tuple[str, ...], list[Split], LeftOut]:
        """Classes, splits, and no other files."""
        return classes, [_make_split(builder.info, name, keys) for name in names], LeftOut()

    return StoredDataset(
        name, names, load, earlier, str(statistics) if statistics.exists() else None
    )


def splits_with_images(builder: tfds.core.DatasetBuilder) -> tuple[str, ...]:
    """The names of a dataset's splits, without empty ones."""
    return tuple(name for name, split in builder.info.splits.items() if split.num_examples)


def builder_of_name(name: str, data_dir: str | None, allowed: str) -> tfds.core.DatasetBuilder:
    """The builder of a dataset that is prepared, now if need be.

    Args:
        name: "shapes", or a dataset of TFDS, e.g. "imagenet2012" or "cifar10:3.0.2".
        data_dir: where TFDS keeps datasets; None for its default.
        allowed: the flag and its other values, for messages.

    Raises:
        UserError: no such dataset, or it cannot be prepared.
    """
    if data_dir is not None:
        data_dir = os.path.expanduser(data_dir)
    try:
        if name == "shapes":
            from alexnet_tf.data.shapes import Shapes

            builder = Shapes(data_dir=data_dir)
        else:
            builder = tfds.builder(name, data_dir=data_dir)
    except (ValueError, AssertionError, ImportError, OSError) as error:
        known = [
            *(name for name in _BUILT_IN if name in allowed),
            *tfds.list_builders(with_community_datasets=False),
        ]
        first = re.split("[:/]", name)[0].lower().replace("-", "")
        close = difflib.get_close_matches(first, known, n=3)
        reason = f"did you mean {' or '.join(close)}?" if close else first_line(error)
        raise UserError(
            f"Expected {allowed} or the name of a TFDS dataset. Received: {name}; {reason}"
        ) from None
    if not builder.is_prepared():
        _prepare(builder, name)
    return builder


def _prepare(builder: tfds.core.DatasetBuilder, name: str) -> None:
    print(f"Preparing the dataset {name} in {builder.data_dir} (once)", flush=True)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        # TFDS announces a download even where there is nothing to download.
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    except Exception as error:  # TFDS raises plain exceptions for failed downloads
        raise UserError(
            f"The dataset {name} is not in {builder.data_dir} and could not be prepared there: "
            f"{first_line(error)}. Is --data_dir right?"
        ) from None


def builder_of_directory(directory: str) -> tfds.core.DatasetBuilder:
    """The builder of a dataset that `alexnet_tf.prepare` or TFDS wrote.

    Args:
        directory: an absolute path.

    Raises:
        UserError: no such directory, or it holds no complete dataset.
    """
    if not os.path.isdir(directory):
        raise UserError(f"Expected --dataset=DIR to exist. Received: {directory}")
    if not os.path.exists(os.path.join(directory, METADATA)):
        hint = ""
        if os.path.isdir(os.path.join(directory, "train")):
            hint = f"; for a folder of images say --dataset=folder --data_dir={directory}"
        raise UserError(
            "Expected --dataset=DIR to be a directory that alexnet_tf.prepare or TFDS has "
            f"finished. Received: {directory}, without {METADATA}{hint}"
        )
    try:
        return tfds.builder_from_directory(directory)
    except Exception as error:  # TFDS raises all kinds for a damaged dataset_info.json
        raise UserError(
            f"TFDS cannot read the dataset in {directory}: {first_line(error)}"
        ) from None


def image_and_label(builder: tfds.core.DatasetBuilder) -> tuple[str, str]:
    """The names of the image and of the label among a dataset's features.

    Where the dataset does not say which they are, its only image and its only class label.

    Raises:
        UserError: not an image classification dataset.
    """
    features = builder.info.features
    kinds = tfds.features.Image, tfds.features.ClassLabel
    keys = builder.info.supervised_keys
    if not keys:
        names = [[n for n, feature in features.items() if isinstance(feature, k)] for k in kinds]
        keys = [name for found in names if len(found) == 1 for name in found]
    found = [isinstance(features[name], kind) for name, kind in zip(keys, kinds, strict=False)]
    if found != [True, True]:
        raise UserError(
            f"Expected an image classification dataset, with an image and a class label. "
            f"Received: {builder.name}, with {list(features)}"
        )
    return keys[0], keys[1]


def _check_files(builder: tfds.core.DatasetBuilder) -> None:
    """Checks that every shard is there, and that its size is the one that `prepare` has noted."""
    report = read_report(pathlib.Path(builder.data_dir))
    sizes = {name: shard["bytes"] for name, shard in _shards(report)} if report else {}
    for split in builder.info.splits.values():
        for path in map(os.fspath, split.filepaths):
            size = os.path.getsize(path) if os.path.exists(path) else None
            if size is None or size != sizes.get(os.path.basename(path), size):
                file = os.path.basename(path)
                problem = f"it has no {file}" if size is None else f"it has another {file}, by size"
                raise UserError(
                    f"The dataset in {builder.data_dir} is damaged: {problem}. Prepare it again"
                )


def _make_split(info: tfds.core.DatasetInfo, name: str, keys: tuple[str, str]) -> Split:
    # Not `builder.as_dataset`, which reads a whole split: shuffle.py reads single shards, whose
    # numbers are tensors, in the order of an epoch, and skips those before the first step.
    try:
        files = info.splits[name].file_instructions
    except (ValueError, AssertionError, KeyError) as error:
        raise UserError(
            f"Expected a split, or a slice such as train[:80%]. Received: {name} "
            f"({first_line(error)})"
        ) from None
    paths = tf.constant([file.filename for file in files])
    odd = next((f.filename for f in files if ".tfrecord" not in os.path.basename(f.filename)), None)
    if odd:
        raise UserError(f"Expected TFRecord files. Received: {odd}")
    skips = tf.constant([file.skip for file in files], tf.int64)
    lengths = [
        file.examples_in_shard - file.skip if file.take == -1 else file.take for file in files
    ]
    takes = tf.constant(lengths, tf.int64)
    starts = tf.cumsum(takes, exclusive=True)
    image_key, label_key = keys
    features = {
        image_key: tf.io.FixedLenFeature([], tf.string),
        label_key: tf.io.FixedLenFeature([], tf.int64),
    }

    def read(shard: tf.Tensor) -> tf.data.Dataset:
        """A shard, number int64, to records: index and serialised example."""
        examples = tf.data.TFRecordDataset(paths[shard]).skip(skips[shard]).take(takes[shard])
        index = tf.data.Dataset.range(starts[shard], starts[shard] + takes[shard])
        return tf.data.Dataset.zip({"index": index, "example": examples})

    def parse(records: Records) -> tuple[tf.Tensor, tf.Tensor]:
        """Records [B] to image, string [B], and label, int64 [B]."""
        examples = tf.io.parse_example(records["example"], features)
        return examples[image_key], examples[label_key]

    whole = info.splits[name.split("[")[0]]
    image = info.features[image_key]
    height, width, _ = image.shape
    is_square_jpeg = height is not None and height == width and image.encoding_format == "jpeg"
    return Split(
        name,
        tuple(lengths),
        read,
        parse,
        files=False,
        record_bytes=max(1, whole.num_bytes // max(1, whole.num_examples)),
        square_size=height if is_square_jpeg else None,
        paths=tuple(os.fspath(file.filename) for file in files),
    )


def read_report(folder: pathlib.Path) -> dict[str, Any] | None:
    """The report of `alexnet_tf.prepare`; None if another program wrote the dataset.

    Raises:
        UserError: it cannot be read.
    """
    path = folder / REPORT
    if not path.exists():
        return None
    try:
        report = json.loads(path.read_text("utf-8"))
        return report if "prepared" in report and "files" in report else None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error}. Prepare the dataset again") from None


def report_digests(report: dict[str, Any]) -> dict[str, str]:
    """From the name of each file to its SHA-256."""
    return {**{name: shard["sha256"] for name, shard in _shards(report)}, **report["files"]}


def verified_files(folder: pathlib.Path, expected: dict[str, str], threads: int) -> set[str]:
    """The files that are there and unchanged.

    Args:
        folder: that holds them.
        expected: from a file's name to its SHA-256, in hexadecimal.
        threads: that read files at the same time.
    """
    found = set()
    with (
        Progress("checking", len(expected), "files") as progress,
        futures.ThreadPoolExecutor(threads) as pool,  # hashing releases Python's lock
    ):
        digests_now = pool.map(lambda name: _sha256(folder / name), expected)
        for (name, digest), now in zip(expected.items(), digests_now, strict=True):
            if now == digest:
                found.add(name)
            progress.advance(1)
    return found


def _sha256(path: pathlib.Path) -> str | None:
    """In hexadecimal; None if there is no such file."""
    return file_sha256(path) if path.exists() else None


def _shards(report: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [pair for split in report["prepared"].values() for pair in split["shards"].items()]
