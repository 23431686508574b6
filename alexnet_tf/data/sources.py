"""Where examples come from, behind one interface.

    shapes         the built-in dataset, rendered on first use (`shapes.py`)
    folder         data_dir/train/<class>/... and data_dir/val/<class>/... (`image_folder.py`)
    DIR            a dataset that `alexnet_tf.prepare`, or TFDS, wrote there
    anything else  a TensorFlow Datasets image classification dataset of that name

A source yields records; decoding belongs to the pipeline.
"""

from __future__ import annotations

import os

from alexnet_tf.data import image_folder, tfds_source
from alexnet_tf.data.dataset import ImageDataset
from alexnet_tf.data.limits import MAX_UNREADABLE
from alexnet_tf.system.errors import UserError


def dataset_directory(name: str) -> str | None:
    """The absolute path of the directory that a dataset's name is, if it is one.

    What is built in goes first: a directory that happens to be called shapes is `./shapes`.
    """
    directory = os.path.expanduser(name)
    if name in ("shapes", "folder") or not os.path.isdir(directory):
        return None
    return os.path.abspath(directory)


def open_dataset(
    name: str,
    data_dir: str | None = None,
    max_unreadable: float = MAX_UNREADABLE,
    only: str | None = None,
) -> ImageDataset:
    """Opens a dataset by name, preparing it first where that is needed.

    Args:
        name: "shapes", "folder", a directory, or the name of a TFDS dataset, e.g. "cifar10" or
            "imagenet2012:5.1.0".
        data_dir: the folder of images; or where TFDS keeps datasets, None for its default.
        max_unreadable: the share of a folder's files that may be no images.
        only: "train" or "validation", where the other one need not be there, which a folder of
            images may then do without.

    Raises:
        UserError: no such dataset or folder, a class without images, files that are no images,
            or a dataset that is no image classification.
    """
    if name == "folder":
        if not data_dir:
            raise UserError(
                "--dataset=folder needs --data_dir=DIR with DIR/train/<class>/ and DIR/val/<class>/"
            )
        return image_folder.open_folder(data_dir, max_unreadable, only)
    return tfds_source.open_tfds(dataset_directory(name) or name, data_dir)
