"""Image classification datasets in the format of TensorFlow Datasets (TFDS)."""

from __future__ import annotations

import os
import pathlib

import tensorflow as tf
import tensorflow_datasets as tfds

from alexnet_tf.data import prepare_report
from alexnet_tf.data.dataset import ImageDataset, Records, Split
from alexnet_tf.data.tfds_builders import builder_of_directory, builder_of_name, image_and_label
from alexnet_tf.system.errors import UserError

STATISTICS = "statistics.npz"  # of its training set, in a directory that `prepare` wrote


def open_tfds(name: str, data_dir: str | None) -> ImageDataset:
    """Opens a dataset by its name or its directory, preparing it first where that is needed.

    Raises:
        UserError: no such dataset, one that is not whole, or that is no image classification.
    """
    directory = os.path.expanduser(name)
    if os.path.isabs(directory):
        builder = builder_of_directory(directory)
    else:
        builder = builder_of_name(name, data_dir, "--dataset=shapes, folder, a prepared directory")
    keys = image_and_label(builder)
    _check_files(builder)
    splits = builder.info.splits
    if "train" not in splits:
        raise UserError(f"Expected a split `train` in {name}. Received: {', '.join(splits)}")
    train, held_out = "train", next((s for s in ("validation", "test") if s in splits), None)
    if held_out is None:
        train, held_out = "train[:90%]", "train[90%:]"
        print(f"{name} has no split for validation: its last tenth is held out of training")
    statistics = pathlib.Path(builder.data_dir) / STATISTICS
    return ImageDataset(
        name,
        tuple(builder.info.features[keys[1]].names),
        _split(builder.info, train, keys),
        _split(builder.info, held_out, keys),
        str(statistics) if statistics.exists() else None,
    )


def _check_files(builder: tfds.core.DatasetBuilder) -> None:
    """Sees that the files of all shards are there, and as long as `prepare` has noted."""
    report = prepare_report.read_report(pathlib.Path(builder.data_dir))
    noted = prepare_report.sizes(report) if report else {}
    for split in builder.info.splits.values():
        for path in map(os.fspath, split.filepaths):
            size = os.path.getsize(path) if os.path.exists(path) else None
            expected = noted.get(os.path.basename(path), size)
            if size is None or size != expected:
                raise UserError(
                    f"Expected the dataset in {builder.data_dir} as it was written. Received: "
                    f"{'no' if size is None else 'another'} {os.path.basename(path)}; prepare it "
                    "again"
                )


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
