"""How fast this machine multiplies matrices: the roof under which convolutions stay."""

from __future__ import annotations

from tools.benchmark.contestants import Contestant, Settings, Turn

_SIDE = 2048  # rows and columns: too large for the caches, as a network's layers are
_GIGAFLOP = 2 * _SIDE**3 / 1e9


def contestant(precision: str) -> Contestant:
    """Products of square matrices by TensorFlow, in one precision."""

    def make(settings: Settings) -> Turn:
        """As many products as there are steps."""
        import tensorflow as tf

        matrix = tf.cast(tf.random.stateless_uniform([_SIDE, _SIDE], (0, 0)), precision)

        @tf.function
        def multiply(x: tf.Tensor) -> tf.Tensor:
            """The sum keeps the product from being left out."""
            return tf.reduce_sum(tf.cast(tf.matmul(x, matrix)[:1], tf.float32))

        def turn() -> float:
            """Products made."""
            for _ in range(settings.steps * 2):
                multiply(matrix).numpy()
            return settings.steps * 2

        return turn

    return Contestant(f"matrix products of {_SIDE}², {precision}", make, _GIGAFLOP, precision)
