"""Compares the speed of the preparation with a plain script that does the same work.

python -m tools.benchmark_preparation --photos=DIR     DIR: photographs, at any depth

Everything runs in one process and one thread, photograph after photograph and round after round
(A B C A B C ...): bytes in memory to the bytes of a square JPEG of 256 pixels, quality 90.

    ours            alexnet_tf.preparation, as installed
    pillow_only     the same without the libraries of the extra `prepare`
    plain           Pillow: open, convert, resize the whole image, crop, save; the same filter
    plain_bicubic   the same with Pillow's default filter
    opencv          decode, cut out, resize by area and encode with OpenCV, if it is installed

PSNR compares the decoded squares with the squares of `plain`: median and lowest of all photographs.
Memory is the growth of a process that does nothing else.
"""

from __future__ import annotations

import concurrent.futures
import io
import json
import multiprocessing
import pathlib
import platform
import statistics
import time
from collections.abc import Callable
from unittest import mock

import numpy as np
from absl import flags as absl_flags
from PIL import Image

from alexnet_tf import app
from alexnet_tf.preparation import resize
from alexnet_tf.preparation.resize import QUALITY, SIZE, InvalidImage, prepare

_FLAGS = absl_flags.FLAGS


def _plain(encoded: bytes, resampling: Image.Resampling = Image.Resampling.BILINEAR) -> bytes:
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    scale = SIZE / min(image.size)
    width, height = (max(SIZE, round(side * scale)) for side in image.size)
    image = image.resize((width, height), resampling)
    left, top = (width - SIZE) // 2, (height - SIZE) // 2
    buffer = io.BytesIO()
    image.crop((left, top, left + SIZE, top + SIZE)).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _pillow_only(encoded: bytes) -> bytes:
    with mock.patch.object(resize, "simplejpeg", None):
        return prepare(encoded).jpeg


def _contestants() -> dict[str, Callable[[bytes], bytes]]:
    found = {
        "ours": lambda encoded: prepare(encoded).jpeg,
        "pillow_only": _pillow_only,
        "plain": _plain,
        "plain_bicubic": lambda encoded: _plain(encoded, Image.Resampling.BICUBIC),
    }
    try:
        import cv2
    except ImportError:
        return found
    cv2.setNumThreads(1)

    def opencv(encoded: bytes) -> bytes:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
        side = min(image.shape[:2])
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        image = np.ascontiguousarray(image[top : top + side, left : left + side])
        image = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        return cv2.imencode(".jpg", image, quality)[1].tobytes()

    return {**found, "opencv": opencv}


def _memory(name: str, photos: list[bytes]) -> float:
    """The growth of a new process that runs a contestant, GB."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as process:
        return process.submit(_added, name, photos).result()


def _added(name: str, photos: list[bytes]) -> float:
    make = _contestants()[name]
    before = _peak()
    for photo in photos:
        make(photo)
    return _peak() - before


def _peak() -> float:
    """The peak memory of this process, GB; getrusage would include its parent's."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e6


def _psnr(one: bytes, other: bytes) -> float:
    """PSNR between two encoded images, in decibels."""
    one, other = (np.asarray(Image.open(io.BytesIO(x)), float) for x in (one, other))
    return float(10 * np.log10(255**2 / max(np.mean((one - other) ** 2), 1e-6)))


def main(argv: list[str]) -> None:
    """Measures everything and prints a table."""
    del argv
    photos = []
    for path in sorted(p for p in pathlib.Path(_FLAGS.photos).expanduser().rglob("*")):
        try:
            photo = path.read_bytes()
            prepare(photo)
        except (OSError, InvalidImage):
            continue
        photos.append(photo)
    contestants = _contestants()
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(_FLAGS.rounds):
        for name, make in contestants.items():
            started = time.process_time()
            for photo in photos:
                make(photo)
            rates[name].append(len(photos) / (time.process_time() - started))
    libraries = ", ".join(f"{name} {version}" for name, version in resize.libraries().items())
    print(
        f"{platform.machine()}, {len(photos)} photographs, {_FLAGS.rounds} rounds, one thread; "
        f"{libraries or 'Pillow only'}\n\n"
        "| | images/s, median (range) | times `plain` | memory, GB | PSNR, dB: median, lowest |\n"
        "|---|---|---|---|---|"
    )
    reference = [_plain(photo) for photo in photos]
    plain = statistics.median(rates["plain"])
    for name, make in contestants.items():
        decibels = [_psnr(make(photo), ref) for photo, ref in zip(photos, reference, strict=True)]
        rate = statistics.median(rates[name])
        print(
            f"| {name} | {rate:,.0f} ({min(rates[name]):,.0f} to {max(rates[name]):,.0f}) "
            f"| {rate / plain:.2f} | {_memory(name, photos):.2f} "
            f"| {statistics.median(decibels):.1f}, {min(decibels):.1f} |"
        )
    if _FLAGS.json:
        pathlib.Path(_FLAGS.json).write_text(json.dumps(rates, indent=1) + "\n")


if __name__ == "__main__":
    absl_flags.DEFINE_string("photos", None, "a folder of photographs", required=True)
    absl_flags.DEFINE_integer("rounds", 5, "how often each is measured", lower_bound=1)
    absl_flags.DEFINE_string("json", None, "file for all results")
    app.run(main)
