"""A training step: forward, backward, update, always on the same batch of images.

Ours does more than the others: its step also flips and normalises uint8 images and adds PCA noise.
"""

from __future__ import annotations

import typing

from alexnet_tf.models.layer_summary import layer_summary
from alexnet_tf.models.variants import get_variant
from tools.benchmark import gemm
from tools.benchmark.contestants import Contestant, Settings, Turn

if typing.TYPE_CHECKING:  # each contestant imports what it needs
    import tensorflow as tf

CLASSES = 1000


def contestants(variant: str) -> dict[str, Contestant]:
    """By name; ours in float32 first."""
    gigaflop = gigaflop_of(variant)

    def ours(precision: str) -> Contestant:
        against = "ours" if precision != "float32" else None
        return Contestant(
            f"alexnet_tf, {precision}",
            lambda s: _ours(s, precision),
            gigaflop,
            precision,
            against,
        )

    def torch(about: str, **how) -> Contestant:
        def make(settings: Settings) -> Turn:
            """Imports PyTorch only here, because the import may fail."""
            from tools.benchmark.peers import pytorch

            return pytorch.make_training(settings, **how)

        return Contestant(f"PyTorch, {about}", make, gigaflop, against="ours")

    return {
        "ours": ours("float32"),
        "ours_bfloat16": ours("bfloat16"),
        "torch": torch("eager"),
        "torch_last": torch("eager, channels_last", channels_last=True),
        "torch_compile": torch("compiled", compiled=True),
        "torch_compile_last": torch("compiled, channels_last", compiled=True, channels_last=True),
        "keras": Contestant("plain Keras, Model.fit", _plain_keras, gigaflop, against="ours"),
        "gemm": gemm.contestant("float32"),
        "gemm_bfloat16": gemm.contestant("bfloat16"),
    }


def gigaflop_of(variant: str) -> float:
    """Gigaflop per image: forward, gradients of weights, gradients of all inputs but the image."""
    layers = layer_summary(get_variant(variant), CLASSES)
    passes = [2 if number == 0 else 3 for number in range(len(layers))]
    return sum(
        2 * layer.multiply_adds * times for layer, times in zip(layers, passes, strict=True)
    ) / 1e9  # fmt: skip


def _ours(settings: Settings, precision: str) -> Turn:
    import tensorflow as tf

    strategy = tf.distribute.OneDeviceStrategy(
        "/GPU:0" if tf.config.list_logical_devices("GPU") else "/CPU:0"
    )
    return train_on(strategy, settings, settings.batch_size, precision)


def train_on(
    strategy: tf.distribute.Strategy, settings: Settings, batch_size: int, precision: str
) -> Turn:
    """Training steps as `alexnet_tf.train` compiles them.

    Args:
        strategy: of the replicas.
        settings: of the benchmark: the variant, and the steps in a turn.
        batch_size: over all replicas.
        precision: as in `Options`.

    Returns:
        A turn, which returns the number of images that all replicas trained on.
    """
    import numpy as np
    import tensorflow as tf

    from alexnet_tf.data.pipeline import distribute
    from alexnet_tf.data.preprocess import Preprocessor
    from alexnet_tf.data.statistics import Statistics
    from alexnet_tf.training.options import Options
    from alexnet_tf.training.run import build_network
    from alexnet_tf.training.train_step import make_train_steps

    options = Options(variant=settings.variant, batch_size=batch_size, precision=precision)
    variant = get_variant(settings.variant)
    side, crop = variant.preprocessing.image_size, variant.preprocessing.crop_size
    statistics = Statistics(
        np.full((side, side, 3), 127.5, np.float32),
        np.full(3, 1 / 12, np.float32),
        np.eye(3, dtype=np.float32),
    )
    network = build_network(options, variant, CLASSES, strategy)
    preprocessor = Preprocessor(variant.preprocessing, statistics)
    train_steps = make_train_steps(strategy, network, preprocessor, batch_size)

    def make_batches(shard_index: int, num_shards: int) -> tf.data.Dataset:
        """One batch, repeated."""
        size, draw = batch_size // num_shards, np.random.default_rng(shard_index)
        batch = {
            "image": draw.integers(0, 256, (size, crop, crop, 3), np.uint8),
            "label": draw.integers(0, CLASSES, size),
            "weight": np.ones(size, np.float32),
            "offset": np.zeros((size, 2), np.int32),
            "flip": draw.random(size) < 0.5,
            "pca_applied": np.ones(size, bool),
            "pca_noise": draw.normal(0, 0.1, (size, 3)).astype(np.float32),
        }
        return tf.data.Dataset.from_tensors(batch).repeat()

    batches = iter(distribute(strategy, make_batches, batch_size))

    def turn() -> float:
        """Trains; returns the number of images."""
        for _ in range(settings.steps):
            train_steps(batches, tf.constant(1))["loss"].numpy()
        return settings.steps * batch_size

    return turn


def _plain_keras(settings: Settings) -> Turn:
    """Keras's own layers and `Model.fit`."""
    import numpy as np

    from tools.benchmark.peers.plain_keras import build

    model = build(get_variant(settings.variant), CLASSES)
    size, draw = settings.batch_size, np.random.default_rng(0)
    images = draw.normal(0, 60, (size, *model.input_shape[1:])).astype(np.float32)
    labels = draw.integers(0, CLASSES, size)

    def turn() -> float:
        """Trains; returns the number of images. An epoch is one batch."""
        model.fit(images, labels, batch_size=size, epochs=settings.steps, verbose=0)
        return settings.steps * size

    return turn
