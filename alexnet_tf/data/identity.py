"""Which data a run is trained on: by content, as a cluster copies it to another disk for each job."""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Iterator

from alexnet_tf.data.dataset import ImageDataset, Split
from alexnet_tf.data.prepared import read_report, report_digests

_BATCH = 4096  # paths taken out of TensorFlow at a time


def training_digest(dataset: ImageDataset) -> str:
    """A digest of classes and training images that does not depend on where they are.

    Of a folder it covers the name and size of each image, in order. Of shards it covers their
    names, sizes and lengths, and their contents if `alexnet_tf.prepare` has noted their digests.

    Returns:
        SHA-256, hexadecimal.

    Raises:
        OSError: an image or a shard has just been removed.
    """
    split = dataset.train
    digest = hashlib.sha256(repr((dataset.classes, split.lengths)).encode())
    paths = (
        list(_image_paths(split)) if split.files else [os.fsencode(path) for path in split.paths]
    )
    if paths:
        start = len(os.path.commonpath([min(paths), max(paths)])) if len(paths) > 1 else None
        for path in paths:
            name = os.path.basename(path) if start is None or not split.files else path[start:]
            digest.update(b"%s\0%d\0" % (name, os.stat(path).st_size))
    if split.paths:
        folder = pathlib.Path(split.paths[0]).parent
        report = read_report(folder)
        known = report_digests(report) if report else {}
        for path in split.paths:
            digest.update(known.get(os.path.basename(path), "").encode())
    return digest.hexdigest()


def _image_paths(split: Split) -> Iterator[bytes]:
    images = split.in_order().batch(_BATCH).map(lambda records: split.parse(records)[0])
    for batch in images.as_numpy_iterator():
        yield from batch
