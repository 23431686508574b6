"""TFRecord files of `tf.train.Example`s, as TFDS reads them; no half of one has its name."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Iterable, Iterator

import tensorflow as tf

from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import fsync_path

PARTIAL = ".partial"  # ends the name of a file that is being written


def serialize(jpeg: bytes, label: int, file_name: str) -> bytes:
    """One record: features "image", "label" and "file_name", the same bytes every time."""
    name = file_name.encode(errors="surrogateescape")
    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[jpeg])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "file_name": tf.train.Feature(bytes_list=tf.train.BytesList(value=[name])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def write_shard(path: pathlib.Path, records: Iterable[bytes]) -> str:
    """Writes a TFRecord file, and returns once it is safe on disk.

    Returns:
        Its SHA-256, in hexadecimal.

    Raises:
        UserError: the disk is full, or will not be written to.
    """
    partial = path.with_name(path.name + PARTIAL)
    with room(path.parent):
        with tf.io.TFRecordWriter(str(partial)) as writer:
            for record in records:
                writer.write(record)
        digest = sha256(partial)
        put(partial, path)
    return digest


def put(partial: pathlib.Path, path: pathlib.Path) -> None:
    """Gives a written file its name, once all of it is on disk."""
    fsync_path(partial)
    os.replace(partial, path)
    fsync_path(path.parent)


def sha256(path: pathlib.Path) -> str:
    """Of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


@contextlib.contextmanager
def room(folder: pathlib.Path) -> Iterator[None]:
    """Turns what goes wrong with writing into one line.

    Raises:
        UserError: it did.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.message
        raise UserError(
            f"Expected to be able to write to {folder}. Received: {reason}; mend that and run the "
            "same command again to go on"
        ) from None
