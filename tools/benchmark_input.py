"""How fast the training input is beside others that do the same work.

python -m tools.benchmark_input --photos=DIR     DIR: photographs, at any depth

Every reader decodes JPEGs of 256×256 pixels, made of the photographs, crops 224×224 at random and
yields batches of 128:

    ours         alexnet_tf's: uint8 and the random numbers of reflection and lighting, which are
                 left to the device
    plain        the tf.data pipeline of most tutorials: reflected and lit on the host, in float32
    torch        the same with PyTorch's DataLoader and Pillow
    torch_uint8  reflected only, in uint8
    dali         NVIDIA DALI on the CPU, reflected only, in uint8

Each reader runs in a process of its own, one after the other, round after round (A B C A B C ...),
with as many workers as cores; what is not installed is left out.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from absl import flags as absl_flags

from alexnet_tf import app

_FLAGS = absl_flags.FLAGS
_SIDE, _CROP, _BATCH = 256, 224, 128  # pixels, pixels, images: paper §2, §4.1, §5
_WARM_UP = 10  # batches
_RECORDS = "squares.tfrecord"


def _ours(folder: pathlib.Path) -> Iterator:
    import tensorflow as tf

    from alexnet_tf.data.pipeline import training_dataset
    from alexnet_tf.data.split import Split
    from alexnet_tf.models.variants import get_variant

    path = str(folder / _RECORDS)
    count = len(list(folder.glob("*.jpg")))
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
    split = Split("train", (count,), read, parse, files=False, record_bytes=size, side=_SIDE)
    dataset = training_dataset(split, get_variant("paper").preprocessing, _BATCH, seed=0)
    return iter(dataset)


def _plain(folder: pathlib.Path) -> Iterator:
    import tensorflow as tf

    lighting = tf.constant([[0.2, 0.03, 0.01]] * 3)  # as large as ImageNet's; no matter for time

    def image(path: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        pixels = tf.image.random_crop(pixels, [_CROP, _CROP, 3])
        pixels = tf.cast(tf.image.random_flip_left_right(pixels), tf.float32)
        return pixels + tf.linalg.matvec(lighting, tf.random.normal([3], stddev=0.1)), path

    files = tf.data.Dataset.from_tensor_slices(sorted(map(str, folder.glob("*.jpg"))))
    files = files.shuffle(10_000).repeat().map(image, tf.data.AUTOTUNE)
    return iter(files.batch(_BATCH).prefetch(2))


def _torch(folder: pathlib.Path, full: bool = True) -> Iterator:
    import numpy as np
    import torch
    from PIL import Image

    class Squares(torch.utils.data.Dataset):
        """Crops as tensors, float32 [3, C, C] or uint8 [C, C, 3]."""

        def __init__(self):
            self.paths = sorted(folder.glob("*.jpg"))

        def __len__(self) -> int:
            return 1_000_000

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            top, left, reflect = torch.randint(0, _SIDE - _CROP + 1, (3,)).tolist()
            image = Image.open(self.paths[index % len(self.paths)]).convert("RGB")
            image = image.crop((left, top, left + _CROP, top + _CROP))
            if reflect % 2:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            pixels = torch.from_numpy(np.array(image))
            if full:
                noise = torch.full((3, 3), 0.1) @ torch.normal(0.0, 0.1, (3,))
                pixels = pixels.permute(2, 0, 1).float() / 255 + noise[:, None, None]
            return pixels, index

    return iter(
        torch.utils.data.DataLoader(
            Squares(), _BATCH, shuffle=True, num_workers=_FLAGS.workers, drop_last=True
        )
    )


def _torch_uint8(folder: pathlib.Path) -> Iterator:
    return _torch(folder, full=False)


def _dali(folder: pathlib.Path) -> Iterator:
    from nvidia.dali import fn, pipeline_def, types

    @pipeline_def(batch_size=_BATCH, num_threads=_FLAGS.workers, device_id=None, seed=0)
    def squares():
        files = sorted(map(str, folder.glob("*.jpg")))
        encoded, label = fn.readers.file(files=files, random_shuffle=True, name="files")
        place = fn.random.uniform(range=[0.0, 1.0], shape=[2])
        image = fn.decoders.image_slice(
            encoded, place * (_SIDE - _CROP) / _SIDE, [_CROP / _SIDE] * 2, axis_names="HW"
        )
        return fn.flip(image, horizontal=fn.random.coin_flip(dtype=types.INT32)), label

    pipe = squares()
    pipe.build()
    return iter(pipe.run, None)


_READERS = {
    "ours": _ours,
    "plain": _plain,
    "torch": _torch,
    "torch_uint8": _torch_uint8,
    "dali": _dali,
}


def _measure(reader: str, folder: pathlib.Path) -> None:
    """Runs one reader in this process and prints its figures as JSON."""
    try:
        batches = _READERS[reader](folder)
    except ImportError as error:
        print(json.dumps({"missing": str(error)}))
        return
    for _ in itertools.islice(batches, _WARM_UP):
        pass
    started = time.perf_counter()
    number = -(-_FLAGS.images // _BATCH)
    for _ in itertools.islice(batches, number):
        pass
    rate = number * _BATCH / (time.perf_counter() - started)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # GB
    del batches  # ends torch's workers, so that they count below
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    memory = own + (_FLAGS.workers * child if "torch" in reader else 0)
    print(json.dumps({"images_per_second": rate, "memory": memory}), flush=True)
    os._exit(0)  # some readers' threads do not end by themselves


def _make_squares(photos: pathlib.Path, folder: pathlib.Path) -> int:
    """Squares of the photographs as files and as records; returns their mean size in bytes."""
    import tensorflow as tf
    from PIL import Image

    from alexnet_tf.preparation.transform import Refused, prepare

    sizes = []
    with tf.io.TFRecordWriter(str(folder / _RECORDS)) as writer:
        for path in sorted(path for path in photos.rglob("*") if path.is_file()):
            try:
                jpeg = prepare(path.read_bytes(), _SIDE).jpeg
            except Refused:
                continue
            assert Image.open(io.BytesIO(jpeg)).size == (_SIDE, _SIDE)
            (folder / f"{len(sizes):06d}.jpg").write_bytes(jpeg)
            example = tf.train.Example()
            example.features.feature["image"].bytes_list.value.append(jpeg)
            example.features.feature["label"].int64_list.value.append(0)
            writer.write(example.SerializeToString())
            sizes.append(len(jpeg))
    return sum(sizes) // len(sizes)


def main(argv: list[str]) -> None:
    """Measures all readers, round after round, and prints a table."""
    del argv
    if _FLAGS.only:
        _measure(_FLAGS.only, pathlib.Path(_FLAGS.squares))
        return
    results: dict[str, list[dict]] = {reader: [] for reader in _FLAGS.readers}
    with tempfile.TemporaryDirectory() as folder:
        size = _make_squares(pathlib.Path(_FLAGS.photos).expanduser(), pathlib.Path(folder))
        for _, reader in itertools.product(range(_FLAGS.rounds), _FLAGS.readers):
            command = [
                *(sys.executable, "-m", "tools.benchmark_input", f"--only={reader}"),
                *(
                    f"--squares={folder}",
                    f"--images={_FLAGS.images}",
                    f"--workers={_FLAGS.workers}",
                ),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            results[reader].append(json.loads(done.stdout.splitlines()[-1]))
    print(
        f"{platform.machine()}, {_FLAGS.workers} workers, {_FLAGS.rounds} rounds of "
        f"{_FLAGS.images} images, JPEGs of {_SIDE}×{_SIDE} pixels and {size / 1e3:.1f} kB\n\n"
        "| reader | images/s, median (range) | ours, times as fast | memory, GB |\n"
        "|---|---|---|---|"
    )
    first = statistics.median(r["images_per_second"] for r in results[_FLAGS.readers[0]])
    for reader, figures in results.items():
        if "missing" in figures[0]:
            print(f"| {reader} | not measured: {figures[0]['missing']} | | |")
            continue
        rates = [figure["images_per_second"] for figure in figures]
        median, memory = statistics.median(rates), max(figure["memory"] for figure in figures)
        print(
            f"| {reader} | {median:,.0f} ({min(rates):,.0f} to {max(rates):,.0f}) "
            f"| {first / median:.2f} | {memory:.2f} |"
        )
    if _FLAGS.json:
        pathlib.Path(_FLAGS.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    absl_flags.DEFINE_string("photos", None, "a folder of photographs")
    absl_flags.DEFINE_list("readers", list(_READERS), "what to measure; the first is compared")
    absl_flags.DEFINE_integer("rounds", 5, "how often each is measured", lower_bound=1)
    absl_flags.DEFINE_integer("images", 5000, "images a round", lower_bound=1)
    absl_flags.DEFINE_integer("workers", os.cpu_count(), "processes or threads of peers")
    absl_flags.DEFINE_string("json", None, "a file to write all figures to")
    absl_flags.DEFINE_enum("only", None, list(_READERS), "used by itself: measure one reader here")
    absl_flags.DEFINE_string("squares", None, "used by itself: where the squares are")
    app.run(main)
