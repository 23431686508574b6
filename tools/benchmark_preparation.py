"""How fast photographs are prepared beside a plain script that does the same.

python -m tools.benchmark_preparation --photos=DIR     DIR: photographs, at any depth

Everything runs in one process and one thread, photograph after photograph and round after round
(A B C A B C ...): bytes in memory to the bytes of a square JPEG of 256 pixels, quality 90.

    ours            alexnet_tf.preparation's, as installed
    pillow_only     the same without the libraries of the extra `prepare`
    plain           open, convert, resize the whole, cut out, save with Pillow; the same filter
    plain_bicubic   the same with the filter that Pillow takes if none is named
    opencv          decode, cut out, resize by area and encode with OpenCV, if it is installed

PSNR compares the squares, decoded again, with `plain`'s: median and lowest of all photographs.
"""

from __future__ import annotations

import io
import json
import pathlib
import platform
import resource
import statistics
import time
from collections.abc import Callable
from unittest import mock

import numpy as np
from absl import flags as absl_flags
from PIL import Image

from alexnet_tf import app
from alexnet_tf.preparation import fast
from alexnet_tf.preparation.transform import QUALITY, SIZE, Refused, prepare

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
    with mock.patch.object(fast, "simplejpeg", None):
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


def _psnr(one: bytes, other: bytes) -> float:
    """In decibels, between decoded pictures."""
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
        except (OSError, Refused):
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
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    libraries = ", ".join(f"{name} {version}" for name, version in fast.libraries().items())
    print(
        f"{platform.machine()}, {len(photos)} photographs, {_FLAGS.rounds} rounds, one thread; "
        f"{libraries or 'Pillow only'}; memory of it all {memory:.2f} GB\n\n"
        "| | images/s, median (range) | times `plain` | PSNR, dB: median, lowest |\n"
        "|---|---|---|---|"
    )
    reference = [_plain(photo) for photo in photos]
    plain = statistics.median(rates["plain"])
    for name, make in contestants.items():
        ratios = [_psnr(make(photo), ref) for photo, ref in zip(photos, reference, strict=True)]
        fastest = rates[name]
        print(
            f"| {name} | {statistics.median(fastest):,.0f} ({min(fastest):,.0f} to "
            f"{max(fastest):,.0f}) | {statistics.median(fastest) / plain:.2f} "
            f"| {statistics.median(ratios):.1f}, {min(ratios):.1f} |"
        )
    if _FLAGS.json:
        pathlib.Path(_FLAGS.json).write_text(json.dumps(rates, indent=1) + "\n")


if __name__ == "__main__":
    absl_flags.DEFINE_string("photos", None, "a folder of photographs", required=True)
    absl_flags.DEFINE_integer("rounds", 5, "how often each is measured", lower_bound=1)
    absl_flags.DEFINE_string("json", None, "a file to write all figures to")
    app.run(main)
