"""Opens a dataset by name.

    shapes         the built-in dataset, rendered on first use (`shapes.py`)
    folder         data_dir/train/<class>/... and data_dir/val/<class>/... (`image_folder.py`)
    DIR            a dataset that `alexnet_tf.prepare`, or TFDS, wrote there
    anything else  a TensorFlow Datasets image classification dataset of that name

A dataset yields records; the pipeline decodes them.
"""

from __future__ import annotations

import os

from alexnet_tf.data import image_folder, tfds
from alexnet_tf.data.dataset import ImageDataset
from alexnet_tf.data.limits import MAX_UNREADABLE
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.paths import local_path


def dataset_directory(name: str) -> str | None:
    """The absolute path, where a dataset's name is that of a directory; otherwise None.

    Built-in names come first: a directory that happens to be called shapes is `./shapes`.
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
        max_unreadable: the share of a folder's files that may be other files than images.
        only: "train" or "validation": of a folder of images, open this split alone; the other need
            not exist.

    Raises:
        UserError: no such dataset or folder, a class without images, files that are not images,
            or not an image classification dataset.
    """
    data_dir = data_dir and str(local_path(data_dir, "--data_dir", utf8=True))
    local_path(dataset_directory(name) or name, "--dataset", utf8=True)
    if name == "folder":
        if not data_dir:
            raise UserError(
                "--dataset=folder needs --data_dir=DIR with DIR/train/<class>/ and DIR/val/<class>/"
            )
        return image_folder.open_folder(data_dir, max_unreadable, only)
    return tfds.open_tfds(dataset_directory(name) or name, data_dir)
