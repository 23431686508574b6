"""The training input: from JPEGs to batches of crops.

Every contestant decodes JPEGs of 256×256 pixels, made from photographs, takes random crops of
224×224 (paper §4.1) and yields batches:

    ours         alexnet_tf: uint8 crops, with random numbers for flip and PCA noise, which the
                 device applies
    plain        the tf.data pipeline of most tutorials: flip and PCA noise on the host, in float32
    torch        the same with PyTorch's DataLoader and Pillow
    torch_uint8  flipped only, in uint8
    dali         NVIDIA DALI on the CPU, flipped only, in uint8
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator

from alexnet_tf.system.errors import UserError
from tools.benchmark.contestants import Contestant, Settings, Turn

_SIZE, _CROP = 256, 224  # pixels: paper §2, §4.1
_BATCHES = 20  # per step of the settings, because a batch is read faster than a network is trained
_RECORDS = "squares.tfrecord"
_EPOCH = 5000  # images at least, some of them repeated: short epochs would measure their starts


def contestants(variant: str) -> dict[str, Contestant]:
    """By name, ours first."""
    del variant  # the sizes are the paper's

    def row(about: str, make: Callable[[Settings], Iterator], against: str | None = "ours"):
        return Contestant(about, lambda s: _turn(s, make), against=against, works_ahead=True)

    return {
        "ours": row("alexnet_tf, uint8, the rest on the device", _ours, None),
        "plain": row("tf.data as in tutorials, float32, PCA noise on the host", _plain),
        "torch": row("PyTorch DataLoader and Pillow, the same", _torch),
        "torch_uint8": row("PyTorch DataLoader and Pillow, uint8", _torch_uint8),
        "dali": row("NVIDIA DALI on the CPU, uint8", _dali),
    }


def _paths(settings: Settings) -> list[str]:
    """The files of the squares, repeated if there are few."""
    paths = sorted(map(str, settings.squares.glob("*.jpg")))
    return paths * -(-_EPOCH // len(paths))


def _turn(settings: Settings, make: Callable[[Settings], Iterator]) -> Turn:
    batches = make(settings)

    def turn() -> float:
        """Reads batches; returns the number of images."""
        count = settings.steps * _BATCHES
        for _ in itertools.islice(batches, count):
            pass
        return count * settings.batch_size

    return turn


def _ours(settings: Settings) -> Iterator:
    import tensorflow as tf

    from alexnet_tf.data.dataset import Split
    from alexnet_tf.data.pipeline import training_dataset
    from alexnet_tf.models.variants import get_variant

    path, count = str(settings.squares / _RECORDS), 0
    with tf.io.TFRecordWriter(path) as writer:
        for square in _paths(settings):
            example = tf.train.Example()
            content = pathlib.Path(square).read_bytes()
            example.features.feature["image"].bytes_list.value.append(content)
            example.features.feature["label"].int64_list.value.append(0)
            writer.write(example.SerializeToString())
            count += 1
    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }

    def read(shard: tf.Tensor) -> tf.data.Dataset:
        del shard  # there is one
        index = tf.data.Dataset.range(count)
        return tf.data.Dataset.zip({"index": index, "example": tf.data.TFRecordDataset(path)})

    def parse(records: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        examples = tf.io.parse_example(records["example"], features)
        return examples["image"], examples["label"]

    size = os.path.getsize(path) // count
    split = Split("train", (count,), read, parse, files=False, record_bytes=size, square_size=_SIZE)
    dataset = training_dataset(
        split, get_variant("paper").preprocessing, settings.batch_size, seed=0
    )
    return iter(dataset)


def _plain(settings: Settings) -> Iterator:
    import tensorflow as tf

    components = tf.constant([[0.2, 0.03, 0.01]] * 3)  # about ImageNet's; the time is the same

    def image(path: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        pixels = tf.image.random_crop(pixels, [_CROP, _CROP, 3])
        pixels = tf.cast(tf.image.random_flip_left_right(pixels), tf.float32)
        return pixels + tf.linalg.matvec(components, tf.random.normal([3], stddev=0.1)), path

    files = tf.data.Dataset.from_tensor_slices(_paths(settings))
    files = files.shuffle(10_000).repeat().map(image, tf.data.AUTOTUNE)
    return iter(files.batch(settings.batch_size).prefetch(2))


def _torch(settings: Settings, full: bool = True) -> Iterator:
    import numpy as np
    import torch
    from PIL import Image

    class Crops(torch.utils.data.Dataset):
        """Crops as tensors, float32 [3, C, C] or uint8 [C, C, 3]."""

        def __init__(self):
            self.paths = _paths(settings)

        def __len__(self) -> int:
            return 1_000_000

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            top, left, flip = torch.randint(0, _SIZE - _CROP + 1, (3,)).tolist()
            image = Image.open(self.paths[index % len(self.paths)]).convert("RGB")
            image = image.crop((left, top, left + _CROP, top + _CROP))
            if flip % 2:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            pixels = torch.from_numpy(np.array(image))
            if full:
                noise = torch.full((3, 3), 0.1) @ torch.normal(0.0, 0.1, (3,))
                pixels = pixels.permute(2, 0, 1).float() / 255 + noise[:, None, None]
            return pixels, index

    return iter(
        torch.utils.data.DataLoader(
            Crops(),
            settings.batch_size,
            shuffle=True,
            num_workers=len(settings.cores),
            drop_last=True,
        )
    )


def _torch_uint8(settings: Settings) -> Iterator:
    return _torch(settings, full=False)


def _dali(settings: Settings) -> Iterator:
    from nvidia.dali import fn, pipeline_def, types

    @pipeline_def(
        batch_size=settings.batch_size, num_threads=len(settings.cores), device_id=None, seed=0
    )
    def squares():
        encoded, label = fn.readers.file(files=_paths(settings), random_shuffle=True, name="files")
        offset = fn.random.uniform(range=[0.0, 1.0], shape=[2])
        image = fn.decoders.image_slice(
            encoded, offset * (_SIZE - _CROP) / _SIZE, [_CROP / _SIZE] * 2, axis_names="HW"
        )
        return fn.flip(image, horizontal=fn.random.coin_flip(dtype=types.INT32)), label

    pipe = squares()
    pipe.build()
    return iter(pipe.run, None)


def make_squares(photos: str | None, folder: str) -> dict[str, str]:
    """Makes squares from photographs, the files that all contestants read.

    Args:
        photos: a folder of photographs, at any depth.
        folder: the directory to write to.

    Returns:
        A description of them, for the report.

    Raises:
        UserError: there are no photographs.
    """
    from alexnet_tf.preparation.resize import InvalidImage, prepare

    sizes = []
    for path in sorted(pathlib.Path(photos or os.devnull).expanduser().rglob("*")):
        with contextlib.suppress(InvalidImage, IsADirectoryError):
            jpeg = prepare(path.read_bytes(), _SIZE).jpeg
            pathlib.Path(folder, f"{len(sizes):06d}.jpg").write_bytes(jpeg)
            sizes.append(len(jpeg))
    if not sizes:
        raise UserError(f"Expected --photos=DIR with photographs. Received: {photos}")
    size = sum(sizes) / len(sizes) / 1e3
    return {"images": f"{len(sizes)} JPEGs of {_SIZE}×{_SIZE} pixels, {size:.1f} kB on average"}
