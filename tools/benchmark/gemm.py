"""Speed of matrix products on this machine: an upper bound for convolutions."""

from __future__ import annotations

from tools.benchmark.contestants import Contestant, Settings, Turn

_SIZE = 2048  # rows and columns: too large for the caches, as a network's layers are
_GIGAFLOP = 2 * _SIZE**3 / 1e9


def contestant(precision: str) -> Contestant:
    """Products of square matrices by TensorFlow, in one precision."""

    def make(settings: Settings) -> Turn:
        """Two products per step."""
        import tensorflow as tf

        matrix = tf.cast(tf.random.stateless_uniform([_SIZE, _SIZE], (0, 0)), precision)

        @tf.function
        def multiply(x: tf.Tensor) -> tf.Tensor:
            """The sum keeps TensorFlow from optimising the product away."""
            return tf.reduce_sum(tf.cast(tf.matmul(x, matrix)[:1], tf.float32))

        def turn() -> float:
            """Multiplies; returns the number of products."""
            for _ in range(settings.steps * 2):
                multiply(matrix).numpy()
            return settings.steps * 2

        return turn

    return Contestant(f"matrix products of {_SIZE}², {precision}", make, _GIGAFLOP, precision)
