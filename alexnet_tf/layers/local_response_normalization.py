"""Response normalisation across neighbouring maps (paper §3.3)."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf


def inverse_power(x: tf.Tensor, beta: float) -> tf.Tensor:
    """X ** -beta for x > 0; by square roots where beta is the paper's 3/4 (half the time)."""
    if beta == 0.75:
        root = tf.math.rsqrt(x)  # x^-1/2
        return root * tf.sqrt(root)  # x^-1/2 · x^-1/4
    return x**-beta


def band_matrix(channels: int, size: int, towers: int) -> np.ndarray:
    """[channels, channels], 1 where map j is a neighbour of map i in the same tower, else 0.

    The window is `size` maps wide; of an even size the longer half lies before the map, as in
    the original code (`layers/layers-145.cfg` has only odd sizes).
    """
    maps = np.arange(channels)
    offset = maps[:, None] - maps[None, :]  # of the neighbour (row) from the map (column)
    near = (offset >= -(size // 2)) & (offset <= (size - 1) // 2)
    tower = maps // (channels // towers)
    return (near & (tower[:, None] == tower[None, :])).astype(np.float32)


def normalize(x: tf.Tensor, band: np.ndarray, k: float, alpha: float, beta: float) -> tf.Tensor:
    """Rows of responses, each divided by (k + α · x² · band) ** β.

    The gradient is written out, because it can reuse what the forward pass has computed: with
    s = k + α · x² · band and y = x · s^-β,

        ∂L/∂x = g · s^-β - 2αβ · x · (g · y / s) · bandᵀ

    Args:
        x: [N, C], float32 or float64.
        band: [C, C].
        k: as in `LocalResponseNormalization`.
        alpha: likewise, already divided by size if it is to be.
        beta: likewise.

    Returns:
        [N, C].
    """

    @tf.custom_gradient
    def forward(x: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        """Y [N, C], and what makes its gradient that of x."""
        weights = alpha * band.astype(x.dtype.as_numpy_dtype)
        sums = k + tf.matmul(tf.square(x), weights)  # s
        factor = inverse_power(sums, beta)  # s^-β
        y = x * factor

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            """[N, C], with the forward sums and powers used again."""
            shared = tf.matmul(upstream * y / sums, 2 * beta * weights, transpose_b=True)
            return upstream * factor - x * shared

        return y, gradient

    return forward(x)


@keras.saving.register_keras_serializable(package="alexnet_tf")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each response by a power of the squared responses of neighbouring maps.

        b[i] = a[i] / (k + α · Σ a[j]²) ** β,   j over the `size` maps around i

    The sum stops at the first and last map, and at the edges of a tower. With
    `divide_by_size`, α is divided by `size` first, as the original code and Caffe do with theirs.

    Example:
        >>> layer = LocalResponseNormalization(size=5, k=2, alpha=1e-4, beta=0.75, towers=2)
        >>> layer(keras.ops.ones((1, 55, 55, 96))).shape
        TensorShape([1, 55, 55, 96])

    Args:
        size: maps in the window, n in the paper. Default 5.
        k: added to the sum. Default 2.
        alpha: weight of the sum. Default 1e-4.
        beta: exponent. Default 0.75.
        divide_by_size: whether alpha is divided by size. Default False, as printed.
        towers: groups of maps that are normalised apart. Default 1.
        axis: the axis of the maps, not 0. Default -1.

    Input and output shape: any with the maps along `axis`; the paper's [B, H, W, C].

    Raises:
        ValueError: an argument out of range, or maps that do not divide by towers.
    """

    def __init__(
        self,
        size: int = 5,
        k: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        divide_by_size: bool = False,
        towers: int = 1,
        axis: int = -1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if size < 1:
            raise ValueError(f"`size` must be at least 1 map. Received: size={size}")
        if k <= 0:
            raise ValueError(f"`k` must be positive, or 0 / 0 may arise. Received: k={k}")
        if alpha < 0 or beta < 0:
            raise ValueError(
                f"`alpha` and `beta` must not be negative. Received: alpha={alpha}, beta={beta}"
            )
        if towers < 1:
            raise ValueError(f"`towers` must be at least 1. Received: towers={towers}")
        if axis == 0:
            raise ValueError(f"`axis` must not be the batch axis. Received: axis={axis}")
        self.size, self.k, self.alpha, self.beta = size, k, alpha, beta
        self.divide_by_size, self.towers, self.axis = divide_by_size, towers, axis

    def build(self, input_shape: tuple) -> None:
        """Checks that the maps divide by the towers."""
        if self.axis % len(input_shape) == 0:
            raise ValueError(
                f"`axis` must not be the batch axis. Received: axis={self.axis}, "
                f"input_shape={input_shape}"
            )
        channels = input_shape[self.axis]
        if channels is None or channels % self.towers:
            raise ValueError(
                f"The number of maps must be known and divide by towers={self.towers}. "
                f"Received: input_shape={input_shape}, axis={self.axis}"
            )
        # The sum over neighbours as a product with a matrix of 0 and 1: faster than shifted
        # additions, and tower edges come for free.
        self._band = band_matrix(channels, self.size, self.towers)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[B, ..., C] to the same."""
        x = tf.experimental.numpy.moveaxis(inputs, self.axis, -1) if self._moves(inputs) else inputs
        # Squares and powers need more than the range of float16.
        x = x if x.dtype == tf.float64 else tf.cast(x, tf.float32)
        alpha = self.alpha / self.size if self.divide_by_size else self.alpha
        # One product of two matrices is several times faster than a batch of small ones.
        rows = tf.reshape(x, [-1, x.shape[-1]])  # [B · ..., C]
        y = tf.reshape(normalize(rows, self._band, self.k, alpha, self.beta), tf.shape(x))
        y = tf.ensure_shape(y, x.shape)
        y = tf.experimental.numpy.moveaxis(y, -1, self.axis) if self._moves(inputs) else y
        return tf.cast(y, inputs.dtype)

    def _moves(self, inputs: tf.Tensor) -> bool:
        """Whether the maps lie along another axis than the last."""
        return self.axis not in (-1, len(inputs.shape) - 1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The input's."""
        return input_shape

    def get_config(self) -> dict:
        """The arguments."""
        return {
            **super().get_config(),
            "size": self.size,
            "k": self.k,
            "alpha": self.alpha,
            "beta": self.beta,
            "divide_by_size": self.divide_by_size,
            "towers": self.towers,
            "axis": self.axis,
        }
