"""Image classification datasets in the format of TensorFlow Datasets (TFDS)."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import pathlib
import re
import sys

import tensorflow as tf
import tensorflow_datasets as tfds

from alexnet_tf.data.split import Records, Source, Split
from alexnet_tf.errors import UserError

METADATA = "dataset_info.json"  # TFDS's, in every dataset of its
STATISTICS = "statistics.npz"  # of its training set, in a directory that `prepare` wrote


def open_tfds(name: str, data_dir: str | None) -> Source:
    """Opens a dataset by its name or its directory, preparing it first where that is needed.

    Raises:
        UserError: no such dataset, or one that is no image classification.
    """
    builder = _builder(name, data_dir)
    keys = builder.info.supervised_keys or _only_keys(builder.info.features)
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
    statistics = pathlib.Path(builder.data_dir) / STATISTICS
    return Source(
        name,
        tuple(features[keys[1]].names),
        _split(builder.info, train, keys),
        _split(builder.info, held_out, keys),
        str(statistics) if statistics.exists() else None,
    )


def _only_keys(features: tfds.features.FeaturesDict) -> tuple[str, str] | None:
    """The image and the label of a dataset that does not say which they are."""
    images = [name for name, kind in features.items() if isinstance(kind, tfds.features.Image)]
    labels = [name for name, kind in features.items() if isinstance(kind, tfds.features.ClassLabel)]
    return (images[0], labels[0]) if len(images) == len(labels) == 1 else None


def _builder(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    """A prepared TFDS builder."""
    directory = os.path.expanduser(name)
    if os.path.isabs(directory):
        if os.path.isdir(directory):
            return _builder_of_directory(directory)
        raise UserError(f"Expected --dataset=DIR to exist. Received: {name}")
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
            "Expected --dataset=shapes, folder, a prepared directory or the name of a TFDS "
            f"dataset. Received: {name}; {reason}"
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


def _builder_of_directory(directory: str) -> tfds.core.DatasetBuilder:
    if not os.path.exists(os.path.join(directory, METADATA)):
        hint = ""
        if os.path.isdir(os.path.join(directory, "train")):
            hint = f"; for a folder of images say --dataset=folder --data_dir={directory}"
        raise UserError(
            "Expected --dataset=DIR to be a directory that alexnet_tf.prepare or TFDS wrote, to "
            f"its end. Received: {directory}, without {METADATA}{hint}"
        )
    try:
        return tfds.builder_from_directory(directory)
    except Exception as error:  # whatever TFDS makes of a damaged dataset_info.json
        raise UserError(
            f"Expected a TFDS dataset in {directory}. Received: {_first_line(error)}"
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _split(info: tfds.core.DatasetInfo, name: str, keys: tuple[str, str]) -> Split:
    """A split read from its files, without TFDS's own reader, so that any shard can be read."""
    files = info.splits[name].file_instructions
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
    record_bytes = max(1, whole.num_bytes // max(1, whole.num_examples))
    image = info.features[image_key]
    height, width, _ = image.shape
    is_square_jpeg = height is not None and height == width and image.encoding_format == "jpeg"
    return Split(
        name,
        tuple(lengths),
        read,
        parse,
        files=False,
        record_bytes=record_bytes,
        side=height if is_square_jpeg else None,
        paths=tuple(os.fspath(file.filename) for file in files),
    )
