"""Sends mutated images through both decoders, and reports crashes, hangs and large memory.

python -m tools.fuzz_decoding --photos=DIR --images=100000

Each image is a photograph, or made from one: JPEGs of all kinds, PNG, GIF, BMP, WebP, some with
palettes, 16 bits or animation. A mutation flips bits, cuts the end off, replaces bytes of the
header or the size, or repeats or removes pieces. The preparation and the doctor (Pillow) and the
graphs of the pipeline (TensorFlow) decode it, in another process, which is replaced if it dies or
hangs. The exit code is 1 after a crash or a hang, if an image took over 0.75 GB while it was
decoded, or if the process grew by 0.75 GB in all. Needs Linux.
"""

from __future__ import annotations

import collections
import io
import itertools
import multiprocessing
import os
import pathlib
import re
import time
from collections.abc import Callable

import numpy as np
from absl import flags as absl_flags
from PIL import Image

from alexnet_tf import app

_FLAGS = absl_flags.FLAGS
_SECONDS = 2.0  # CPU time for one image in one decoder
_MEMORY = 0.75  # GB that an image may take while it is decoded; limits.py expects 0.65
# GB by which a process may grow. TensorFlow keeps 0.9 kB of each call that fails, and the heap gets
# fragmented: half a GB after 50,000 images, and little more after twice as many.
_GROWTH = 0.75
_PATIENCE = 60.0  # seconds until a silent process counts as hung
_KINDS = ("flip", "truncate", "header", "repeat", "remove", "size")


def originals(photos: pathlib.Path) -> list[bytes]:
    """The photographs, and one more image from each, of another format, kind or size."""
    files = sorted(path for path in photos.rglob("*") if path.is_file())
    encoded = [path.read_bytes() for path in files]
    found = list(encoded)
    for number, (data, make) in enumerate(zip(encoded, itertools.cycle(_KINDS_OF_FILES))):
        try:
            image = Image.open(io.BytesIO(data)).convert("RGB")
            found.append(make(image if number % 2 else image.resize((256, 256))))
        except OSError:
            continue  # not an image; its bytes are mutated anyway
    return found


def _save(form: str, mode: str = "RGB", **options) -> Callable[[Image.Image], bytes]:
    """A function that encodes a photograph in one way."""

    def save(image: Image.Image) -> bytes:
        buffer = io.BytesIO()
        image.convert(mode).save(buffer, form, **options)
        return buffer.getvalue()

    return save


def _sixteen_bits(image: Image.Image) -> bytes:
    grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    return buffer.getvalue()


def _animation(image: Image.Image) -> bytes:
    frames = [image.rotate(20 * turn) for turn in range(4)]
    return _save("GIF", save_all=True, append_images=frames)(image)


def _turned(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _save("JPEG", exif=exif.tobytes())(image)


_KINDS_OF_FILES = (
    _save("JPEG"), _save("JPEG", progressive=True), _save("JPEG", subsampling=0),
    _save("JPEG", "L"), _save("JPEG", "CMYK"), _turned,
    _save("PNG"), _save("PNG", "P"), _save("PNG", "RGBA"), _save("PNG", "LA"), _sixteen_bits,
    _save("GIF"), _animation, _save("BMP"), _save("WEBP"), _save("WEBP", lossless=True),
)  # fmt: skip


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Returns the file with a mutation of a kind in `_KINDS`."""
    kind = rng.choice(_KINDS)
    raw = np.frombuffer(data, np.uint8).copy()
    if kind == "truncate":
        return data[: rng.integers(len(data))]
    if kind == "repeat":
        start, length = rng.integers(len(data)), rng.integers(1, 2000)
        return data[:start] + data[start : start + length] * int(rng.integers(2, 5)) + data[start:]
    if kind == "remove":
        start = rng.integers(len(data))
        return data[:start] + data[start + rng.integers(1, 2000) :]
    if kind == "flip":
        places = rng.integers(len(raw), size=rng.integers(1, 50))
        raw[places] ^= (1 << rng.integers(8, size=len(places))).astype(np.uint8)
    elif kind == "header":
        places = rng.integers(min(700, len(raw)), size=rng.integers(1, 8))
        raw[places] = rng.integers(256, size=len(places))
    else:
        at, length = _find_size(data, rng)
        raw[at : at + length] = rng.integers(256, size=len(raw[at : at + length]))
    return raw.tobytes()


def _find_size(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    """Offset and length of the bytes that hold the size; in a GIF, of the screen or a frame."""
    if data.startswith(b"\x89PNG"):
        return 16, 8
    if data.startswith(b"BM"):
        return 18, 8
    if data.startswith(b"RIFF"):
        lossy = data.find(b"\x9d\x01\x2a")
        return (lossy + 3, 4) if lossy >= 0 else (data.find(b"VP8L") + 9, 4)
    if data.startswith(b"GIF8"):
        frames = [match.start() + 5 for match in re.finditer(rb"\x2c\0\0\0\0", data)]
        return int(rng.choice([6, *frames])), 4
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))  # baseline or progressive
    return frame + 5, int(rng.choice([2, 4]))


def _decoders() -> dict:
    """Name → a function from encoded bytes to the outcome."""
    import tensorflow as tf

    from alexnet_tf.data.augmentations.resized_crop import choose_window
    from alexnet_tf.data.decode import decode_crop, decode_square, decode_window
    from alexnet_tf.data.image_checks import InvalidImage, examine
    from alexnet_tf.models.variants import get_variant
    from alexnet_tf.preparation.resize import prepare

    preprocessing = get_variant("paper").preprocessing
    tries = tf.constant(np.random.default_rng(0).random((10, 4)), tf.float32)
    offset, signature = tf.constant([3, 5]), [tf.TensorSpec([], tf.string)]
    graphs = {
        "square": lambda encoded: decode_square(encoded, preprocessing),
        "crop": lambda encoded: decode_crop(encoded, offset, preprocessing),
        "square crop": lambda encoded: decode_crop(encoded, offset, preprocessing, True),
        "resized crop": lambda encoded: decode_window(
            encoded, lambda size: choose_window(tries, size), preprocessing
        ),
    }

    def pillow(encoded: bytes) -> str:
        try:
            prepare(encoded)
        except InvalidImage as reason:
            return f"refused, {reason}"
        return "decoded"

    def of_graph(graph):  # noqa: ANN001
        function = tf.function(graph, input_signature=signature)

        def decode(encoded: bytes) -> str:
            try:
                function(encoded)
            except tf.errors.OpError as error:
                return f"refused, {type(error).__name__}"
            return "decoded"

        return decode

    def examined(encoded: bytes) -> str:
        reason = examine(encoded).reason
        return "decoded" if reason is None else f"refused, {reason}"

    return {
        "preparation": pillow,
        "examine": examined,
        **{name: of_graph(graph) for name, graph in graphs.items()},
    }


def _work(first: int, photos: str, images: int, seed: int, pipe) -> None:  # noqa: ANN001
    """Decodes images `first` to `images`; announces each, so that a crash can be traced to one."""
    decoders = _decoders()
    samples = originals(pathlib.Path(photos))
    for decode in decoders.values():
        decode(samples[0])  # to build its graph
    start = _memory("VmRSS")
    pipe.send(("ready", None))
    for number in range(first, images):
        rng = np.random.default_rng([seed, number])
        encoded = mutate(samples[rng.integers(len(samples))], rng)
        pipe.send(("trying", number))
        outcomes = {}
        before = _memory("VmRSS")
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
        for name, decode in decoders.items():
            started = time.process_time()
            outcome = decode(encoded)
            outcomes[name] = outcome, time.process_time() - started
        taken, growth = _memory("VmHWM") - before, _memory("VmRSS") - start
        pipe.send(("done", (number, outcomes, taken, growth)))
    pipe.send(("finished", None))


def _memory(name: str) -> float:
    """Memory of this process in GB: VmRSS now, VmHWM at most."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1e6


def main(argv: list[str]) -> int:
    """Decodes all images and prints the outcomes; returns the exit code."""
    del argv
    from alexnet_tf.system.errors import UserError
    from alexnet_tf.system.progress import Progress

    context = multiprocessing.get_context("spawn")
    outcomes, faults = collections.Counter(), []
    slowest, most, growth, first = 0.0, 0.0, 0.0, _FLAGS.first
    with Progress("fuzzing", _FLAGS.images - first, "images") as progress:
        while first < _FLAGS.images:
            receiver, sender = context.Pipe(duplex=False)
            arguments = (first, _FLAGS.photos, _FLAGS.images, _FLAGS.seed, sender)
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            sender.close()
            last = None
            while True:
                try:
                    if not receiver.poll(_PATIENCE):
                        raise EOFError
                    event, value = receiver.recv()
                except EOFError:
                    process.kill()
                    process.join()
                    if last is None:  # the next process would end in the same way
                        raise UserError(
                            f"The process of the decoders ended at its start ({process.exitcode})"
                        ) from None
                    faults.append(f"image {last} ended the process ({process.exitcode})")
                    first = last + 1
                    break
                if event == "finished":
                    first = _FLAGS.images
                    break
                if event == "trying":
                    last = value
                elif event == "done":
                    number, found, taken, growth = value
                    most = max(most, taken)
                    if taken > _MEMORY:
                        faults.append(f"image {number} took {taken:.2f} GB")
                    for name, (outcome, seconds) in found.items():
                        outcomes[name, outcome] += 1
                        slowest = max(slowest, seconds)
                        if seconds > _SECONDS:
                            faults.append(f"image {number} took {name} {seconds:.1f} s of CPU time")
                    progress.advance(1)
    if growth > _GROWTH:
        faults.append(f"the process grew by {growth:.2f} GB")
    for (name, outcome), count in sorted(outcomes.items()):
        print(f"{name}: {outcome} {count:,}")
    print(
        f"an image took at most {slowest:.2f} s of CPU time and {most:.2f} GB; the process grew by "
        f"{growth:.2f} GB"
    )
    print("\n".join(faults) if faults else "no crash, no hang")
    return 1 if faults else 0


if __name__ == "__main__":
    absl_flags.DEFINE_string("photos", None, "a folder of photographs", required=True)
    absl_flags.DEFINE_integer("images", 100_000, "number of images", lower_bound=1)
    absl_flags.DEFINE_integer("first", 0, "number of the first image, to repeat it", lower_bound=0)
    absl_flags.DEFINE_integer("seed", 0, "random seed of the mutations")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    app.run(main)
