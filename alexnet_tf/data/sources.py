"""Opens a dataset by name.

    shapes         the built-in dataset, rendered on first use (`shapes.py`)
    folder         data_dir/<split>/<class>/... (`image_folder.py`)
    DIR            a dataset that `alexnet_tf.prepare`, or TFDS, wrote there
    anything else  a TensorFlow Datasets image classification dataset of that name

A dataset yields records; the pipeline decodes them. `splits.py` says which split does what.
"""

from __future__ import annotations

import dataclasses
import os

from alexnet_tf.data import image_folder, splits, tfds
from alexnet_tf.data.dataset import ImageDataset, Split, StoredDataset, hold_out, make_split
from alexnet_tf.data.limits import MAX_UNREADABLE
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.paths import local_path


def dataset_directory(name: str) -> str | None:
    """The absolute path, where a dataset's name is that of a directory; otherwise None.

    Built-in names come first: a directory that happens to be called shapes is `./shapes`.
    """
    directory = os.path.expanduser(name)
    if name in tfds.BUILT_IN or not os.path.isdir(directory):
        return None
    return os.path.abspath(directory)


def open_dataset(
    name: str,
    data_dir: str | None = None,
    max_unreadable: float = MAX_UNREADABLE,
    validation_split: str | None = None,
    to_train: bool = True,
) -> ImageDataset:
    """Opens a dataset by name, preparing it first where that is needed.

    Args:
        name: "shapes", "folder", a directory, or the name of a TFDS dataset, e.g. "cifar10" or
            "imagenet2012:5.1.0".
        data_dir: the folder of images; or where TFDS keeps datasets, None for its default.
        max_unreadable: the share of a folder's files that may be other files than images.
        validation_split: as `splits.choose_validation`'s `asked`.
        to_train: refuse a dataset that has no training set.

    Raises:
        UserError: no such dataset, folder or split, a class without images, files that are not
            images, or not an image classification dataset.
    """
    stored = _open_stored(name, data_dir, max_unreadable)
    if to_train and splits.TRAIN not in stored.splits:
        raise UserError(
            f"{stored} has no split train to train on, only {', '.join(stored.splits)}. "
            "alexnet_tf.evaluate measures a model on it"
        )
    validation = stored.choose_validation(validation_split)
    dataset = _load(stored, validation, with_train=splits.TRAIN in stored.splits)
    # Of the whole split; the part that is left may have another mean image.
    held_out = validation == splits.HELD_OUT
    return dataclasses.replace(dataset, statistics=None) if held_out else dataset


def open_split(
    name: str,
    data_dir: str | None = None,
    split: str | None = None,
    max_unreadable: float = MAX_UNREADABLE,
    validation_split: str | None = None,
) -> ImageDataset:
    """Opens one split to measure on: the result's `validation`. Its `train` is empty.

    Args:
        name: as in `open_dataset`.
        data_dir: as in `open_dataset`.
        split: its name, or a slice such as "test[:50%]" of a TFDS dataset; "train": what training
            with this `validation_split` trains on; None: what it validates on.
        max_unreadable: as in `open_dataset`.
        validation_split: of a run; if the dataset does not have it, its own names count.

    Raises:
        UserError: as in `open_dataset`.
    """
    stored = _open_stored(name, data_dir, max_unreadable)
    names = stored.splits
    if not splits.exists(names, validation_split):
        validation_split = None
    if split == splits.HELD_OUT:
        split, validation_split = None, split
    if not split or (split in splits.VALIDATION and split not in names):
        return _load(stored, stored.choose_validation(validation_split), with_train=False)
    splits.check_exists(str(stored), names, split)
    if split == splits.TRAIN and validation_split:
        dataset = _load(stored, stored.choose_validation(validation_split), with_train=True)
        return dataclasses.replace(dataset, train=_no_images(), validation=dataset.train, unused=())
    return _load(stored, split, with_train=False)


def _open_stored(name: str, data_dir: str | None, max_unreadable: float) -> StoredDataset:
    data_dir = data_dir and str(local_path(data_dir, "--data_dir", utf8=True))
    if name not in tfds.BUILT_IN:  # whatever the working directory holds, or if it is closed
        local_path(dataset_directory(name) or name, "--dataset", utf8=True)
    if name == "folder":
        if not data_dir:
            raise UserError(
                "--dataset=folder needs --data_dir=DIR with DIR/train/<class>/ and DIR/val/<class>/"
            )
        return image_folder.open_folder(data_dir, max_unreadable)
    return tfds.open_tfds(dataset_directory(name) or name, data_dir)


def _load(stored: StoredDataset, validation: str, with_train: bool) -> ImageDataset:
    """The dataset with this validation split; `train` is empty without `with_train`."""
    held_out = validation == splits.HELD_OUT
    names = [splits.TRAIN] if held_out else [validation]
    if with_train and not held_out:
        names.insert(0, splits.train_part(validation))
    classes, loaded, left_out = stored.load(names)
    train, found = hold_out(loaded[0]) if held_out else (loaded[0], loaded[-1])
    used = {name.partition("[")[0] for name in names}
    unused = tuple(name for name in stored.splits if name not in used)
    return ImageDataset(
        stored.name,
        classes,
        train if with_train else _no_images(),
        found,
        stored.statistics,
        left_out,
        unused,
    )


def _no_images() -> Split:
    return make_split([], [], splits.TRAIN)
