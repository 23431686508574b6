"""Datasets of TFDS: ImageNet as TFDS prepares it, or any other image classification dataset.

Images are taken as they are stored, without decoding. TFDS has shuffled them already and reads them
in one order only, so examples stay in the shard that their place gives them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from alexnet_tf.data.tfds import builder_of_name, image_and_label
from alexnet_tf.preparation.sources import Example, ExampleReader, Source
from alexnet_tf.system.errors import UserError

_NAMES = ("file_name", "image/filename", "filename", "id")  # features that name an example
_BATCH = 64  # examples taken out of TensorFlow at a time


class Stream(ExampleReader):
    """A split of a TFDS dataset."""

    in_order_only = True

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str, image: str, label: str):
        self.count = builder.info.splits[split].num_examples
        self._builder, self._split = builder, split
        self._image, self._label = image, label

    def key(self, index: int) -> str:
        """Its number, as the name is known only when it is read."""
        return str(index)

    def examples(self, indices: np.ndarray) -> Iterator[Example]:
        """As `ExampleReader` has it; the numbers must follow one another."""
        first, end = int(indices[0]), int(indices[-1]) + 1
        dataset = self._builder.as_dataset(
            split=tfds.core.ReadInstruction(self._split, from_=first, to=end, unit="abs"),
            decoders={self._image: tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
            shuffle_files=False,
        )
        kept = [key for key in (self._image, self._label, *_NAMES) if key in dataset.element_spec]
        dataset = dataset.map(lambda features: {key: features[key] for key in kept}).batch(_BATCH)
        index = first
        for batch in dataset.as_numpy_iterator():
            named = next((batch[key] for key in _NAMES if key in batch), None)
            for place, (image, label) in enumerate(
                zip(batch[self._image], batch[self._label].tolist(), strict=True)
            ):
                name = f"{self._split} {index}" if named is None else _text(named[place])
                yield Example(name, label, image)
                index += 1

    def fingerprint(self) -> str:
        """The dataset's name, with its version, and the split's shards."""
        lengths = self._builder.info.splits[self._split].shard_lengths
        return f"{self._builder.info.full_name} {self._split} {lengths}"


def _text(name: object) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def open_tfds_source(name: str, data_dir: str | None) -> Source:
    """Opens a dataset by name, preparing it first where that is needed.

    Args:
        name: e.g. "imagenet2012" or "cifar10:3.0.2".
        data_dir: where TFDS keeps datasets; None for its default.

    Raises:
        UserError: no such dataset, or one that is no image classification.
    """
    builder = builder_of_name(name, data_dir, "--source=tfds:shapes")
    keys = image_and_label(builder)
    splits = builder.info.splits
    held_out = next((s for s in ("validation", "test") if s in splits), None)
    if "train" not in splits or held_out is None:
        raise UserError(
            f"Expected splits train and validation, or test, in {name}. "
            f"Received: {', '.join(splits)}"
        )
    return Source(
        builder.name,
        f"{builder.info.full_name} of TFDS",
        tuple(builder.info.features[keys[1]].names),
        {split: Stream(builder, split, *keys) for split in ("train", held_out)},
    )
