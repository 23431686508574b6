"""Datasets of TensorFlow Datasets (TFDS) by name or directory, prepared where that is needed."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import re
import sys

import tensorflow_datasets as tfds

from alexnet_tf.system.errors import UserError, first_line

METADATA = "dataset_info.json"  # TFDS's, in every dataset of its
_BUILT_IN = ("shapes", "folder")


def builder_of_name(name: str, data_dir: str | None, wanted: str) -> tfds.core.DatasetBuilder:
    """The dataset, prepared.

    Args:
        name: "shapes", or a dataset of TFDS, e.g. "imagenet2012" or "cifar10:3.0.2".
        data_dir: where TFDS keeps datasets; None for its default.
        wanted: what the user may say, and with which flag, for messages.

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
            *(name for name in _BUILT_IN if name in wanted),
            *tfds.list_builders(with_community_datasets=False),
        ]
        first = re.split("[:/]", name)[0].lower().replace("-", "")
        close = difflib.get_close_matches(first, known, n=3)
        reason = f"did you mean {' or '.join(close)}?" if close else first_line(error)
        raise UserError(
            f"Expected {wanted} or the name of a TFDS dataset. Received: {name}; {reason}"
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
                f"there (is --data_dir right?). Received: {first_line(error)}"
            ) from None
    return builder


def builder_of_directory(directory: str) -> tfds.core.DatasetBuilder:
    """The dataset that `alexnet_tf.prepare` or TFDS wrote to an absolute path.

    Raises:
        UserError: no such directory, or none that holds a dataset, to its end.
    """
    if not os.path.isdir(directory):
        raise UserError(f"Expected --dataset=DIR to exist. Received: {directory}")
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
            f"Expected a TFDS dataset in {directory}. Received: {first_line(error)}"
        ) from None


def image_and_label(builder: tfds.core.DatasetBuilder) -> tuple[str, str]:
    """The names of the two features; if the dataset does not say, those of its only such ones.

    Raises:
        UserError: it is no image classification.
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
