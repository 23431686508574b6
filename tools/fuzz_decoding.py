"""Sends mutated images through both decoders, and looks for crashes, hangs and large memory.

python -m tools.fuzz_decoding --photos=DIR --images=100000

Each image is one of the photographs, or one made of them: JPEGs of all kinds, PNG, GIF, BMP, WebP,
some with palettes, 16 bits or animation; with bits flipped, its end cut off, bytes of its header or
its size replaced, or pieces repeated or taken out. It goes through preparation and the doctor's
look (Pillow) and through the pipeline's graphs (TensorFlow) in a process of its own, which is
replaced if it dies or hangs. Exit code 1 if anything did, or if an image took over 0.75 GB while
it was decoded, or the process came to hold 0.75 GB more than before the first. Needs Linux.
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
_SECONDS = 2.0  # of the CPU for one image in one decoder, whatever else the machine does
_MEMORY = 0.75  # GB that an image may take while it is decoded; limits.py speaks of 0.65
# GB that a process may hold in the end, beyond what it held before the first. TensorFlow keeps
# 0.9 kB of each call that fails, and the heap gets holes: half a GB after 50,000 images, and little
# more after twice as many.
_GROWTH = 0.75
_PATIENCE = 60.0  # seconds until a silent process counts as hung
_KINDS = ("flip", "truncate", "header", "repeat", "remove", "size")


def originals(photos: pathlib.Path) -> list[bytes]:
    """The photographs, and as many again of other formats and kinds, and of the final size."""
    files = sorted(path for path in photos.rglob("*") if path.is_file())
    encoded = [path.read_bytes() for path in files]
    found = list(encoded)
    for number, (data, make) in enumerate(zip(encoded, itertools.cycle(_KINDS_OF_FILES))):
        try:
            image = Image.open(io.BytesIO(data)).convert("RGB")
            found.append(make(image if number % 2 else image.resize((256, 256))))
        except OSError:
            continue  # what is among the photographs and is none, is mutated all the same
    return found


def _save(form: str, mode: str = "RGB", **options) -> Callable[[Image.Image], bytes]:
    """What encodes a photograph in one way."""

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
    """One of the ways in which files go wrong."""
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
        place, length = _place_of_size(data, rng)
        raw[place : place + length] = rng.integers(256, size=len(raw[place : place + length]))
    return raw.tobytes()


def _place_of_size(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    """Where a file has its size, and in how many bytes; of a GIF, the screen's or a frame's."""
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
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))  # at once or progressive
    return frame + 5, int(rng.choice([2, 4]))


def _decoders() -> dict:
    """Name → a function of encoded bytes that says how it went."""
    import tensorflow as tf

    from alexnet_tf.data.decode import decode_crop, decode_resized_crop, decode_square
    from alexnet_tf.data.image_checks import InvalidImage, examine
    from alexnet_tf.models.variants import get_variant
    from alexnet_tf.preparation.resize import prepare

    spec = get_variant("paper").preprocessing
    window = tf.constant(np.random.default_rng(0).random((10, 4)), tf.float32)
    signature = [tf.TensorSpec([], tf.string)]
    graphs = {
        "square": lambda encoded: decode_square(encoded, spec),
        "crop": lambda encoded: decode_crop(encoded, tf.constant([3, 5]), spec),
        "square crop": lambda encoded: decode_crop(encoded, tf.constant([3, 5]), spec, True),
        "resized crop": lambda encoded: decode_resized_crop(encoded, window, spec),
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
    """Decodes images `first` to `images`; announces each before, so that a culprit is known."""
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
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # forgets what was the most so far
        for name, decode in decoders.items():
            started = time.process_time()
            outcome = decode(encoded)
            outcomes[name] = outcome, time.process_time() - started
        taken, growth = _memory("VmHWM") - before, _memory("VmRSS") - start
        pipe.send(("done", (number, outcomes, taken, growth)))
    pipe.send(("finished", None))


def _memory(name: str) -> float:
    """GB of this process: VmRSS what it holds now, VmHWM the most that it has held."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1e6


def main(argv: list[str]) -> int:
    """Runs the whole and prints what happened; returns the exit code."""
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
                    if last is None:  # and so would the next one
                        raise UserError(
                            "Expected the decoders to start. Received: a process that ended first "
                            f"({process.exitcode})"
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
                            faults.append(f"image {number} took {name} {seconds:.1f} s of the CPU")
                    progress.advance(1)
    if growth > _GROWTH:
        faults.append(f"the process held {growth:.2f} GB more in the end")
    for (name, outcome), count in sorted(outcomes.items()):
        print(f"{name}: {outcome} {count:,}")
    print(
        f"an image took {slowest:.2f} s of the CPU and {most:.2f} GB at most; the process held "
        f"{growth:.2f} GB more in the end"
    )
    print("\n".join(faults) if faults else "no crash, no hang")
    return 1 if faults else 0


if __name__ == "__main__":
    absl_flags.DEFINE_string("photos", None, "a folder of photographs", required=True)
    absl_flags.DEFINE_integer("images", 100_000, "how many", lower_bound=1)
    absl_flags.DEFINE_integer("first", 0, "begin at that one, to look at it again", lower_bound=0)
    absl_flags.DEFINE_integer("seed", 0, "of the mutations")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    app.run(main)
