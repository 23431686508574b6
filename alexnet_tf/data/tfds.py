"""Datasets in the format of TensorFlow Datasets (TFDS): by name, or in a directory.

`alexnet_tf.prepare` writes the same format, and beside it a report with the size and the digest of
each file, by which a damaged one is found.
"""

from __future__ import annotations

import contextlib
import difflib
import fnmatch
import io
import os
import pathlib
import re
import sys
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.naming import camelcase_to_snakecase
from tensorflow_datasets.core.utils.file_utils import list_data_dirs

from alexnet_tf.data import splits
from alexnet_tf.data.class_folders import LeftOut
from alexnet_tf.data.dataset import NO_LABEL, Records, Split, StoredDataset
from alexnet_tf.data.limits import MAX_CLASSES
from alexnet_tf.data.prepared import STATISTICS
from alexnet_tf.data.tfds_metadata import METADATA, check_label_names, check_metadata, check_shards
from alexnet_tf.system.errors import UserError, first_line
from alexnet_tf.system.untrusted import read_json

BUILT_IN = ("shapes", "folder")
# TFDS also knows namespaces, whose code it would download and run, and arguments of builders.
_NAME = re.compile(r"(?P<name>[a-zA-Z]\w*)(/(?P<config>[\w+.-]+))?(:(?P<version>[\d.*]+))?")


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
    keys = checked_keys(builder)
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
    """The builder of an image classification dataset that is prepared, now if need be.

    Args:
        name: "shapes", or a dataset of TFDS, e.g. "imagenet2012" or "cifar10:3.0.2".
        data_dir: where TFDS keeps datasets; None for its default.
        allowed: the flag and its other values, for messages.

    Raises:
        UserError: no such dataset, not an image classification dataset (said before any download),
            or it cannot be prepared.
    """
    if data_dir is not None:
        data_dir = os.path.expanduser(data_dir)
    try:
        if name == "shapes":
            from alexnet_tf.data.shapes import Shapes

            _check_candidates("shapes", None, None, data_dir)
            builder = Shapes(data_dir=data_dir)
        elif not (parts := _NAME.fullmatch(name)):
            raise ValueError("it has not the form dataset/config:1.2.3")
        else:
            _check_candidates(
                camelcase_to_snakecase(parts["name"]), parts["config"], parts["version"], data_dir
            )
            builder = tfds.builder(name, data_dir=data_dir)
    except UserError:
        raise
    except Exception as error:  # TFDS raises all kinds for names and for wrong values on disk
        known = [
            *(name for name in BUILT_IN if name in allowed),
            *tfds.list_builders(with_community_datasets=False),
        ]
        given = re.split("[:/]", name)[0]
        first = given.lower().replace("-", "")
        close = difflib.get_close_matches(first, known, n=3)
        if first in known:  # the name is right, or only its spelling is not
            close = [] if given == first else [first]
        reason = f"did you mean {' or '.join(close)}?" if close else first_line(error)
        raise UserError(
            f"Expected {allowed} or the name of a TFDS dataset. Received: {name}; {reason}"
        ) from None
    image_and_label(builder)
    if not builder.is_prepared():
        _prepare(builder, name)
    return builder


def _check_candidates(
    name: str, config: str | None, version: str | None, data_dir: str | None
) -> None:
    """Checks the metadata of every prepared dataset that TFDS may choose by this name."""
    for root in list_data_dirs(data_dir):
        folder = pathlib.Path(root, name)
        if (default := folder / ".config" / "metadata.json").exists():
            read_json(default)
        for path in sorted([*folder.glob(f"*/{METADATA}"), *folder.glob(f"*/*/{METADATA}")]):
            of_config, of_version = (None, *path.parts[len(folder.parts) : -1])[-2:]
            if config in (None, of_config) and fnmatch.fnmatch(of_version, version or "*"):
                check_metadata(path.parent)


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
    check_metadata(pathlib.Path(directory))
    try:
        builder = tfds.builder_from_directory(directory)
    except Exception as error:  # TFDS raises all kinds for wrong values
        raise UserError(
            f"TFDS cannot read the dataset in {directory}: {first_line(error)}"
        ) from None
    image_and_label(builder)
    return builder


def checked_keys(builder: tfds.core.DatasetBuilder) -> tuple[str, str]:
    """`image_and_label` of a prepared dataset, of which files and class names are as they should.

    Raises:
        UserError: they are not, or it is not an image classification dataset.
    """
    keys = image_and_label(builder)
    folder = pathlib.Path(builder.data_dir)
    check_label_names(folder, keys[1], builder.info.features[keys[1]])
    check_shards(folder, builder.info.splits)
    return keys


def image_and_label(builder: tfds.core.DatasetBuilder) -> tuple[str, str]:
    """The names of the image and of the label among a dataset's features.

    Where the dataset does not say which they are, its only image and its only class label.

    Raises:
        UserError: not an image classification dataset, images of other values than uint8, or
            labels without classes.
    """
    features = builder.info.features
    kinds = (
        lambda feature: type(feature) is tfds.features.Image,  # a subclass is of masks
        lambda feature: isinstance(feature, tfds.features.ClassLabel),
    )
    names = list(features) if isinstance(features, tfds.features.FeaturesDict) else []
    keys = builder.info.supervised_keys
    if not keys:
        found = [[name for name in names if is_kind(features[name])] for is_kind in kinds]
        keys = [name for matching in found if len(matching) == 1 for name in matching]
    keys = [key for key in keys if isinstance(key, str) and key in names][:2]
    if [is_kind(features[key]) for key, is_kind in zip(keys, kinds, strict=False)] != [True, True]:
        raise UserError(
            f"Expected an image classification dataset, with an image and a class label. "
            f"Received: {builder.name}, with {str(names)[:200]}"
        )
    _check_image(builder.name, keys[0], features[keys[0]])
    classes = features[keys[1]].num_classes
    if not classes or not 0 < classes <= MAX_CLASSES:
        raise UserError(
            f"Expected 1 to {MAX_CLASSES:,} classes. Received: {builder.name}, with "
            f"{classes or 'no'} classes of {keys[1]}"
        )
    return keys[0], keys[1]


def _check_image(dataset: str, name: str, image: tfds.features.Image) -> None:
    """Refuses images whose decoded bytes are no colours: TFDS keeps a float as four bytes."""
    kind = tf.as_dtype(image.np_dtype).name
    if kind != "uint8" or len(image.shape) != 3 or image.shape[-1] not in (1, 3, None):
        shape = "×".join("?" if side is None else str(side) for side in image.shape)
        raise UserError(
            f"Expected images of uint8 with 1 or 3 channels. Received: {dataset}, with {name} of "
            f"{kind}, {shape[:50]}. Convert them to photographs in folders, see alexnet_tf.prepare"
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
    sizes = [os.path.getsize(file.filename) for file in files]  # whatever dataset_info.json says
    in_shards = tf.constant([file.examples_in_shard for file in files], tf.int64)
    unlimited = tf.constant(-1, tf.int64)
    image_key, label_key = keys
    features = {  # an example without them counts as one that cannot be used
        image_key: tf.io.FixedLenFeature([], tf.string, ""),
        label_key: tf.io.FixedLenFeature([], tf.int64, NO_LABEL),
    }
    classes = info.features[label_key].num_classes

    def read(shard: tf.Tensor) -> tf.data.Dataset:
        """A shard, number int64, to records: index and serialised example."""
        examples = tf.data.TFRecordDataset(paths[shard])
        # An error where a shard has fewer examples than it should, or more: that is known once the
        # file has been read to its end, so its last examples are not limited to a number.
        examples = examples.apply(tf.data.experimental.assert_cardinality(in_shards[shard]))
        to_its_end = skips[shard] + takes[shard] == in_shards[shard]
        examples = examples.skip(skips[shard]).take(tf.where(to_its_end, unlimited, takes[shard]))
        index = tf.data.Dataset.range(starts[shard], starts[shard] + takes[shard])
        return tf.data.Dataset.zip({"index": index, "example": examples})

    def parse(records: Records) -> tuple[tf.Tensor, tf.Tensor]:
        """Records [B] to image, string [B], and label, int64 [B]."""
        examples = tf.io.parse_example(records["example"], features)
        label = examples[label_key]
        known = (label >= 0) & (label < classes)
        return examples[image_key], tf.where(known, label, NO_LABEL)

    image = info.features[image_key]
    height, width, _ = image.shape
    is_square_jpeg = height is not None and height == width and image.encoding_format == "jpeg"
    return Split(
        name,
        tuple(lengths),
        read,
        parse,
        files=False,
        record_bytes=max(1, sum(sizes) // max(1, sum(file.examples_in_shard for file in files))),
        square_size=height if is_square_jpeg else None,
        paths=tuple(os.fspath(file.filename) for file in files),
    )
