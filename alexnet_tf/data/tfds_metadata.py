"""The description of a TFDS dataset on disk, checked before TFDS reads it.

TFDS imports the module of every class that features.json names, so a dataset could run its own
code. It also waits for pipes, and raises all kinds of exceptions for wrong types. Here every file
that it would read is read first, and only TFDS's own classes of features pass.
"""

from __future__ import annotations

import inspect
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow_datasets.core.proto import dataset_info_pb2, feature_pb2

from alexnet_tf.data.limits import MAX_CLASSES
from alexnet_tf.data.prepared import REPORT, read_report, report_sizes
from alexnet_tf.system.errors import UserError, first_line
from alexnet_tf.system.untrusted import (
    check,
    line,
    open_regular,
    parse_json,
    plain_name,
    read_bytes,
    read_json,
)

METADATA = "dataset_info.json"  # TFDS writes it into every dataset
FEATURES = "features.json"

_MAX_SHARDS = 100_000
# A TFRecord frames each record with 16 bytes, and a label takes some 10.
_MIN_RECORD = 24  # bytes
_FORM = {
    "name": plain_name,
    "version": line,
    "splits?": [{"name": line, "filepathTemplate?": line}],
}
_OWN_FEATURES = frozenset(
    f"{found.__module__}.{found.__name__}"
    for found in vars(tfds.features).values()
    if inspect.isclass(found) and issubclass(found, tfds.features.FeatureConnector)
)


def check_metadata(folder: pathlib.Path) -> None:
    """Checks all files from which TFDS restores a dataset, except the shards.

    Args:
        folder: with dataset_info.json, and features.json unless the dataset's code is known.

    Raises:
        UserError: a file is no regular file, too large, damaged or contradicts another; or a class
            of a feature is not TFDS's own.
    """
    info = read_json(folder / METADATA, _FORM)
    _check_classes(info.get("features", {}), folder / METADATA)
    message = _parse_as(dataset_info_pb2.DatasetInfo, info, folder / METADATA)
    _check_splits(message, folder / METADATA)
    try:
        features = read_json(folder / FEATURES)
    except FileNotFoundError:
        pass
    else:
        _check_classes(features, folder / FEATURES)
        if "type" not in features:  # the format of TFDS before 4.5
            _parse_as(feature_pb2.Feature, features, folder / FEATURES)
    if (folder / "metadata.json").exists():
        read_json(folder / "metadata.json", (dict, list))
    for path in sorted(folder.glob("*.labels.txt")):
        _check_labels(path)


def _parse_as(kind: type[Message], value: dict[str, Any], path: pathlib.Path) -> Message:
    """JSON as one of TFDS's messages."""
    try:
        return json_format.ParseDict(value, kind())
    except json_format.ParseError as error:
        raise UserError(f"{path} is damaged: {str(error).splitlines()[0][:200]}") from None


def _check_classes(features: Any, path: pathlib.Path) -> None:
    """Refuses classes that TFDS would have to import, and values that are names of files."""
    try:
        for key, value in _entries(features):
            if key in ("pythonClassName", "python_class_name", "type"):
                if isinstance(value, str) and value not in _OWN_FEATURES:
                    raise UserError(
                        f"{path} names the class {value[:100]!r}, which is not one of TFDS's "
                        "features. Its code would have to be run, so the dataset is refused"
                    )
            elif key == "names_file" or (key == "labels" and isinstance(value, str)):
                raise ValueError(f"it reads its classes from {value!r}"[:100])
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from None


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys and values, at any depth, also in JSON that is a string."""
    for key, item in value.items() if isinstance(value, dict) else ():
        yield key, item
        if key == "json" and isinstance(item, str):
            yield from _entries(parse_json(item.encode()))
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            yield from _entries(item)


def _check_splits(info: Message, path: pathlib.Path) -> None:
    names = [split.name for split in info.splits]
    if len(set(names)) != len(names):
        raise UserError(f"{path} is damaged: a split is there twice")
    for split in info.splits:
        if len(split.shard_lengths) > _MAX_SHARDS:
            raise UserError(f"{path} is damaged: {split.name} has over {_MAX_SHARDS:,} shards")
        if min(split.num_bytes, *split.shard_lengths, 0) < 0:
            raise UserError(
                f"{path} is damaged: {split.name} has a negative number of examples or bytes"
            )


def check_label_names(folder: pathlib.Path, feature: str, label: tfds.features.ClassLabel) -> None:
    """Checks that the names of the classes are those in their file, if there is one.

    TFDS passes over the error when there is another number of names.

    Args:
        folder: of the dataset.
        feature: name of the label.
        label: as TFDS has restored it.

    Raises:
        UserError: they are others.
    """
    path = folder / f"{feature.replace('/', '.')}.labels.txt"
    found = _check_labels(path) if path.exists() else label.names
    if found != label.names or len(found) != label.num_classes:
        raise UserError(
            f"{path} is damaged: it has {len(found):,} names, and the dataset "
            f"{label.num_classes:,} classes, or others"
        )


def _check_labels(path: pathlib.Path) -> list[str]:
    """Checks a list of class names, one in a line; TFDS passes over empty lines."""
    try:
        text = read_bytes(path).decode()
        names = [name.strip() for name in text.split("\n") if name.strip()]
        if not 0 < len(names) <= MAX_CLASSES or len(set(names)) != len(names):
            raise ValueError(f"{len(names):,} names, some of them twice, or over {MAX_CLASSES:,}")
        for name in names:
            check(name, line, "a name")
        return names
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from None


def check_shards(folder: pathlib.Path, splits: dict[str, tfds.core.SplitInfo]) -> None:
    """Checks that every shard is there, and large enough for its examples.

    A shard that `alexnet_tf.prepare` has written must also have the size in its report.

    Args:
        folder: of the dataset.
        splits: TFDS's, by name.

    Raises:
        UserError: a shard is missing, elsewhere, too small, or has another size.
    """
    report = read_report(folder)
    sizes = report_sizes(report) if report else None
    for split in splits.values():
        try:
            shards = list(zip(split.filepaths, split.shard_lengths, strict=True))
        except Exception as error:  # TFDS raises all kinds for wrong templates of names
            raise UserError(f"{folder / METADATA} is damaged: {first_line(error)}") from None
        for path, length in shards:
            if problem := _problem_of(folder, pathlib.Path(path), length, sizes):
                raise UserError(f"The dataset in {folder} is damaged: {problem}. Prepare it again")


def _problem_of(
    folder: pathlib.Path, path: pathlib.Path, length: int, sizes: dict[str, int] | None
) -> str | None:
    name = path.name
    if path.parent != folder or name.strip() != name:
        return f"its file {str(path)[:200]!r} is not in it"
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return f"it has no {name}"
    if sizes is not None and name not in sizes:
        return f"its {REPORT} does not know {name}"
    if sizes is not None and size != sizes[name]:
        return f"it has another {name}, by size"
    if ".tfrecord" in name and size < length * _MIN_RECORD:
        return f"{name} is too small for {length:,} examples"
    return None
