"""The training data of a run, identified by content: it may be on another disk in each job."""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Iterator

from alexnet_tf.data.dataset import ImageDataset, Split
from alexnet_tf.data.prepared import read_report, report_digests
from alexnet_tf.system.errors import UserError

_BATCH = 4096  # paths taken out of TensorFlow at a time


def training_digest(dataset: ImageDataset) -> str:
    """A digest of classes and training images that does not depend on where they are.

    It covers the name and size of each image of a folder, or of each shard, and the contents of
    shards that `alexnet_tf.prepare` has written. The files are not read.

    Returns:
        SHA-256, hexadecimal.

    Raises:
        UserError: a file has just been removed.
    """
    split = dataset.train
    digest = hashlib.sha256(repr((dataset.classes, split.lengths)).encode())
    if split.files:
        paths = list(_image_paths(split))
    else:
        paths = [os.fsencode(path) for path in split.paths]
        folder = pathlib.Path(split.paths[0]).parent if paths else None
        report = read_report(folder) if folder else None
        known = report_digests(report) if report else {}
        digest.update(repr([known.get(os.path.basename(path)) for path in split.paths]).encode())
    # The first and last path in alphabetical order share what all of them share.
    folder = os.path.dirname(os.path.commonprefix([min(paths), max(paths)])) if paths else b""
    try:
        for path in paths:
            digest.update(b"%s\0%d\0" % (path[len(folder) :], os.stat(path).st_size))
    except OSError as error:
        raise UserError(f"{os.fsdecode(path)} cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def _image_paths(split: Split) -> Iterator[bytes]:
    images = split.in_order().batch(_BATCH).map(lambda records: split.parse(records)[0])
    for batch in images.as_numpy_iterator():
        yield from batch
