"""Sends mutated images through both decoders, and looks for crashes, hangs and large memory.

python -m tools.fuzz_decoding --photos=DIR --images=100000

Each image is one of the photographs, or of them as PNG, GIF, BMP or WebP, with bits flipped, its
end cut off, bytes of its header replaced, or pieces repeated or taken out. It goes through
preparation (Pillow) and through the pipeline's graphs (TensorFlow) in a process of its own, which
is replaced if it dies or hangs. Exit code 1 if anything did, or took over 1 GB.
"""

from __future__ import annotations

import collections
import io
import itertools
import multiprocessing
import os
import pathlib
import resource
import time

import numpy as np
from absl import flags as absl_flags
from PIL import Image

from alexnet_tf import app

_FLAGS = absl_flags.FLAGS
_SECONDS = 2.0  # of the CPU for one image in one decoder, whatever else the machine does
_MEMORY = 1.0  # GB that decoding any image may add to what the process had before the first
_PATIENCE = 60.0  # seconds until a silent process counts as hung
_KINDS = ("flip", "truncate", "header", "repeat", "remove", "size")


def originals(photos: pathlib.Path) -> list[bytes]:
    """The photographs, and some of them in the other formats."""
    files = sorted(path for path in photos.rglob("*") if path.is_file())
    encoded = [path.read_bytes() for path in files]
    for data, (form, options) in zip(
        itertools.cycle(encoded[:20]),
        [
            *(("PNG", {}), ("GIF", {}), ("BMP", {}), ("WEBP", {}), ("WEBP", {"lossless": True})),
            *(("JPEG", {"progressive": True}), ("JPEG", {"subsampling": 0})),
        ],
        strict=False,
    ):
        buffer = io.BytesIO()
        Image.open(io.BytesIO(data)).convert("RGB").save(buffer, form, **options)
        encoded.append(buffer.getvalue())
    return encoded


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
    else:  # a huge size, where a JPEG, PNG or GIF has it
        frame = data.find(b"\xff\xc0")
        place = frame + 5 if frame >= 0 else 16 if data[1:4] == b"PNG" else 6
        raw[place : place + 4] = rng.integers(256, size=len(raw[place : place + 4]))
    return raw.tobytes()


def _decoders() -> dict:
    """Name → a function of encoded bytes that says how it went."""
    import tensorflow as tf

    from alexnet_tf.data.decode import decode_crop, decode_resized_crop, decode_square
    from alexnet_tf.models.variants import get_variant
    from alexnet_tf.preparation.transform import Refused, prepare

    spec = get_variant("paper").preprocessing
    window = tf.constant(np.random.default_rng(0).random((10, 4)), tf.float32)
    signature = [tf.TensorSpec([], tf.string)]
    graphs = {
        "square": lambda encoded: decode_square(encoded, spec),
        "crop": lambda encoded: decode_crop(encoded, tf.constant([3, 5]), spec),
        "resized crop": lambda encoded: decode_resized_crop(encoded, window, spec),
    }

    def pillow(encoded: bytes) -> str:
        try:
            prepare(encoded)
        except Refused as reason:
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

    return {"preparation": pillow, **{name: of_graph(graph) for name, graph in graphs.items()}}


def _work(first: int, photos: str, images: int, seed: int, pipe) -> None:  # noqa: ANN001
    """Decodes images `first` to `images`; announces each before, so that a culprit is known."""
    decoders = _decoders()
    samples = originals(pathlib.Path(photos))
    pipe.send(("ready", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
    for number in range(first, images):
        rng = np.random.default_rng([seed, number])
        encoded = mutate(samples[rng.integers(len(samples))], rng)
        pipe.send(("trying", number))
        outcomes = {}
        for name, decode in decoders.items():
            started = time.process_time()
            outcome = decode(encoded)
            outcomes[name] = outcome, time.process_time() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pipe.send(("done", (number, outcomes, memory)))
    pipe.send(("finished", None))


def main(argv: list[str]) -> int:
    """Runs the whole and prints what happened; returns the exit code."""
    del argv
    from alexnet_tf.progress import Progress

    context = multiprocessing.get_context("spawn")
    outcomes, faults = collections.Counter(), []
    slowest, baseline, peak, first, last = 0.0, 0, 0, _FLAGS.first, 0
    with Progress("fuzzing", _FLAGS.images - first, "images") as progress:
        while first < _FLAGS.images:
            receiver, sender = context.Pipe(duplex=False)
            arguments = (first, _FLAGS.photos, _FLAGS.images, _FLAGS.seed, sender)
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            sender.close()
            while True:
                try:
                    if not receiver.poll(_PATIENCE):
                        raise EOFError
                    event, value = receiver.recv()
                except EOFError:
                    process.kill()
                    process.join()
                    faults.append(f"image {last} ended the process ({process.exitcode})")
                    first = last + 1
                    break
                if event == "finished":
                    first = _FLAGS.images
                    break
                if event == "ready":
                    baseline = value
                elif event == "trying":
                    last = value
                else:
                    number, found, memory = value
                    peak = max(peak, memory - baseline)
                    for name, (outcome, seconds) in found.items():
                        outcomes[name, outcome] += 1
                        slowest = max(slowest, seconds)
                        if seconds > _SECONDS:
                            faults.append(f"image {number} took {name} {seconds:.1f} s of the CPU")
                    progress.advance(1)
    if peak / 1e6 > _MEMORY:
        faults.append(f"memory rose by {peak / 1e6:.2f} GB")
    for (name, outcome), count in sorted(outcomes.items()):
        print(f"{name}: {outcome} {count:,}")
    print(f"slowest {slowest:.2f} s of the CPU; memory at most {peak / 1e6:.2f} GB above the start")
    print("\n".join(faults) if faults else "no crash, no hang")
    return 1 if faults else 0


if __name__ == "__main__":
    absl_flags.DEFINE_string("photos", None, "a folder of photographs", required=True)
    absl_flags.DEFINE_integer("images", 100_000, "how many", lower_bound=1)
    absl_flags.DEFINE_integer("first", 0, "begin at that one, to look at it again", lower_bound=0)
    absl_flags.DEFINE_integer("seed", 0, "of the mutations")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    app.run(main)
