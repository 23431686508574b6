"""What the layers of a trained network compute for images, and files of it."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import pathlib
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.data.dataset import Split
from alexnet_tf.data.decode_errors import DecodeErrors
from alexnet_tf.data.pipeline import decoded_batches
from alexnet_tf.evaluation.classifier import Classifier
from alexnet_tf.models.feature_extraction import layer_names, unit_model
from alexnet_tf.system.errors import UserError
from alexnet_tf.system.files import write_atomically, writing_to

FORMATS = (".npz", ".parquet")


@dataclasses.dataclass(frozen=True)
class Rows:
    """Features of some images.

    Attributes:
        names: of the images: paths, or the number in a split.
        labels: int64 [B]; -1 where there is none.
        layers: from a layer to float32 [B, H, W, channels] or [B, units].
    """

    names: tuple[str, ...]
    labels: np.ndarray
    layers: dict[str, np.ndarray]


class FeatureExtractor:
    """Computes the units of layers, after their nonlinearity and before pooling and dropout.

    Where a variant pools before the nonlinearity, as `code2012` in layers 1 and 5, its maps are
    pooled.

    Args:
        classifier: the trained network with its preprocessing.
        layers: names of layers with weights; empty: the last hidden one.

    Raises:
        UserError: no such layer, or a name twice.
    """

    def __init__(self, classifier: Classifier, layers: Sequence[str] = ()):
        model = classifier.model
        self.layers = tuple(layers) or (layer_names(model)[-2],)
        if len(set(self.layers)) < len(self.layers):
            raise UserError(f"Expected each layer once. Received: {', '.join(self.layers)}")
        outputs = [unit_model(model, layer).output for layer in self.layers]
        self._preprocessor = classifier.preprocessor
        self._model = keras.Model(model.inputs, outputs)
        self.shapes = {
            layer: tuple(output.shape[1:])
            for layer, output in zip(self.layers, outputs, strict=True)
        }
        self._compute = tf.function(self._of_images, reduce_retracing=True)

    def _of_images(self, images: tf.Tensor) -> list[tf.Tensor]:
        """From uint8 [B, S, S, 3] to the features of the centre crops."""
        crops = self._preprocessor.views(images, 1)[:, 0]  # [B, C, C, 3]
        return [tf.cast(f, tf.float32) for f in tf.nest.flatten(self._model(crops, training=False))]

    def rows(
        self, split: Split, decode_errors: DecodeErrors, title: str, labelled: bool = True
    ) -> Iterator[Rows]:
        """Goes once over a split, batch by batch; images that cannot be used are left out.

        Args:
            split: the images.
            decode_errors: records images that cannot be used, and raises if there are too many.
            title: of the progress bar.
            labelled: whether the split's labels mean something.

        Raises:
            UserError: too many images cannot be used.
        """
        names = split.example_names()
        preprocessing = self._preprocessor.preprocessing
        for batch in decoded_batches(split, preprocessing, decode_errors, title):
            used = batch["weight"] > 0
            own = [name for name, _ in zip(names, used, strict=False)]
            if not used.any():
                continue
            features = self._compute(batch["image"][used])
            labels = batch["label"][used] if labelled else np.full(used.sum(), -1)
            yield Rows(
                tuple(name for name, use in zip(own, used, strict=True) if use),
                labels.astype(np.int64),
                {n: f.numpy() for n, f in zip(self.layers, features, strict=True)},
            )


def check_output(path: pathlib.Path) -> None:
    """Checks the name of a file of features, before the work.

    Raises:
        UserError: another suffix than `FORMATS`, a directory that does not exist, or .parquet
            without pyarrow.
    """
    if path.suffix not in FORMATS:
        raise UserError(f"Expected --output to end in {' or '.join(FORMATS)}. Received: {path}")
    if not path.absolute().parent.is_dir():
        raise UserError(f"There is no directory {path.absolute().parent}. Make it first")
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise UserError(
                "A .parquet file needs pyarrow: pip install pyarrow, or choose a .npz file"
            ) from None


def write_features(
    path: pathlib.Path,
    rows: Iterator[Rows],
    shapes: dict[str, tuple[int, ...]],
    classes: Sequence[str],
) -> int:
    """Writes a file of features as they come, under another name first.

    Args:
        path: ends in .npz (arrays names, labels, classes and one for each layer) or .parquet
            (columns name, label and one for each layer, flattened).
        rows: the features.
        shapes: of a layer's features of one image.
        classes: names in label order.

    Returns:
        The number of images.

    Raises:
        UserError: the disk is full or cannot be written, or there is no image.
    """
    with writing_to(path.parent), write_atomically(path) as file:
        if path.suffix == ".npz":
            with tempfile.TemporaryDirectory(prefix=".features-", dir=path.parent) as folder:
                count = _write_npz(file, folder, rows, shapes, classes)
        else:
            count = _write_parquet(file, rows, shapes, classes)
        if not count:
            raise UserError("None of the images can be used")
    return count


def _write_npz(
    file: BinaryIO,
    folder: str,
    rows: Iterator[Rows],
    shapes: dict[str, tuple[int, ...]],
    classes: Sequence[str],
) -> int:
    """An .npz file; features wait in `folder`, because their number is known only at the end."""
    names: list[str] = []
    labels = [np.zeros(0, np.int64)]
    with contextlib.ExitStack() as stack:
        parts = {layer: stack.enter_context(open(f"{folder}/{layer}", "w+b")) for layer in shapes}
        for batch in rows:
            names += batch.names
            labels.append(batch.labels)
            for layer, features in batch.layers.items():
                parts[layer].write(np.ascontiguousarray(features, "<f4").tobytes())
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for layer, part in parts.items():
                part.seek(0)
                with archive.open(f"{layer}.npy", "w", force_zip64=True) as member:
                    shape = (len(names), *shapes[layer])
                    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(member, header)
                    shutil.copyfileobj(part, member, 2**20)
            others = {"names": names, "labels": np.concatenate(labels), "classes": list(classes)}
            for name, values in others.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    array = np.asarray(values, None if len(values) else np.str_)
                    np.lib.format.write_array(member, array, allow_pickle=False)
    return len(names)


def _write_parquet(
    file: BinaryIO,
    rows: Iterator[Rows],
    shapes: dict[str, tuple[int, ...]],
    classes: Sequence[str],
) -> int:
    """A .parquet file with one group of rows a batch; the shapes are in the columns' metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [pa.field("name", pa.string()), pa.field("label", pa.int64())]
    for layer, shape in shapes.items():
        kind = pa.list_(pa.float32(), math.prod(shape))
        columns.append(pa.field(layer, kind, metadata={"shape": ",".join(map(str, shape))}))
    schema = pa.schema(columns, metadata={"classes": "\n".join(classes)})
    count = 0
    with pq.ParquetWriter(file, schema) as writer:
        for batch in rows:
            labels = pa.array(batch.labels, pa.int64(), mask=batch.labels < 0)
            arrays = [pa.array(batch.names, pa.string()), labels]
            for layer, features in batch.layers.items():
                flat = pa.array(features.reshape(-1), pa.float32())
                size = math.prod(shapes[layer])
                arrays.append(pa.FixedSizeListArray.from_arrays(flat, size))
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += len(batch.names)
    return count
