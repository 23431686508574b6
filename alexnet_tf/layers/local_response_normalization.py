"""Response normalisation across neighbouring maps (paper §3.3).

One formula is implemented in two forms. In training XLA compiles it, forward and backward, to few
passes over memory, and only x is kept for the gradient. In inference it is ordinary operations,
which any server can run from a SavedModel.
"""

import functools
import operator
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf


def inverse_power(x: tf.Tensor, beta: float) -> tf.Tensor:
    """X ** -beta for x > 0; by square roots, which are faster, if 4 · beta is 1 to 8."""
    if 4 * beta in range(1, 9):  # the paper's β = 3/4, and β + 1 in its gradient
        root = tf.math.rsqrt(tf.sqrt(x))  # x^-1/4
        return functools.reduce(operator.mul, [root] * int(4 * beta))
    return x**-beta


def window_sums(x: tf.Tensor, before: int, after: int) -> tf.Tensor:
    """[..., C]: for each map the sum over it, `before` maps before it and `after` after it."""
    channels = x.shape[-1]
    padded = tf.pad(x, [[0, 0]] * (x.shape.rank - 1) + [[before, after]])
    return tf.add_n([padded[..., i : i + channels] for i in range(before + after + 1)])


@functools.cache
def fused(
    size: int, k: float, alpha: float, beta: float, towers: int
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the normalisation compiled by XLA, with its own gradient.

    With s = k + α · Σ x² and y = x · s^-β, and Σ' over the maps whose windows hold this one,

        ∂L/∂x = g · s^-β - 2αβ · x · Σ' (g · x · s^-(β + 1))

    Args:
        size: as in `LocalResponseNormalization`.
        k: as there.
        alpha: as there, but already divided by size where `divide_by_size` is set.
        beta: as there.
        towers: as there.

    Returns:
        A function from [..., C] to [..., C] of the same dtype. It computes in float32, or for
        float64 inputs in float64.
    """
    before, after = size // 2, (size - 1) // 2

    def by_tower(x: tf.Tensor) -> tf.Tensor:
        """[..., towers, C / towers] in float32, as squares and powers overflow float16."""
        x = tf.reshape(x, tf.concat([tf.shape(x)[:-1], [towers, x.shape[-1] // towers]], axis=0))
        return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)

    def scale(x: tf.Tensor) -> tf.Tensor:
        """The sum s."""
        return k + alpha * window_sums(tf.square(x), before, after)

    @tf.function(jit_compile=True, autograph=False)
    def forward(inputs: tf.Tensor) -> tf.Tensor:
        """Responses y."""
        x = by_tower(inputs)
        y = x * inverse_power(scale(x), beta)
        return tf.cast(tf.reshape(y, tf.shape(inputs)), inputs.dtype)

    @tf.function(jit_compile=True, autograph=False)
    def backward(inputs: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        """∂L/∂x."""
        x, g = by_tower(inputs), by_tower(upstream)
        s = scale(x)
        shared = window_sums(g * x * inverse_power(s, beta + 1), after, before)
        gradient = g * inverse_power(s, beta) - 2 * alpha * beta * x * shared
        return tf.cast(tf.reshape(gradient, tf.shape(inputs)), inputs.dtype)

    @tf.custom_gradient
    def normalize(x: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        """Returns y and the gradient function."""
        return forward(x), lambda upstream: backward(x, upstream)

    return normalize


def band_matrix(channels: int, size: int, towers: int) -> np.ndarray:
    """[channels, channels]: 1 where maps i and j are in one window and one tower, else 0."""
    maps = np.arange(channels)
    offset = maps[:, None] - maps[None, :]  # of the neighbour (row) from the map (column)
    near = (offset >= -(size // 2)) & (offset <= (size - 1) // 2)
    tower = maps // (channels // towers)
    return (near & (tower[:, None] == tower[None, :])).astype(np.float32)


@keras.saving.register_keras_serializable(package="alexnet_tf")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each response by a power of the squared responses of neighbouring maps.

        b[i] = a[i] / (k + α · Σ a[j]²) ** β,   j over the `size` maps around i

    The sum stops at the first and last map, and at the edges of a tower. With an even size the
    longer half of the window lies before the map, as in the original code
    (`layers/layers-145.cfg` has only odd sizes). With `divide_by_size`, α is divided by `size`
    first, as in the original code and Caffe.

    Towers: by the paper's letter the sum crosses from one GPU's maps to the other's, since its N is
    "the total number of kernels in the layer" (§3.3); Caffe does this. The code behind the paper's
    results stays inside each tower (rnorm1a, rnorm1b in 145). It matters at the edge: with every
    activation 100, k = 2 and α = 1e-4, map 47 of 96 becomes 29.9 inside towers and 23.2 across.

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
        towers: groups of maps; the window does not cross from one to the next. Default 1.
        axis: axis of the maps, not 0. Default -1.

    Input and output shape: any, with the maps along `axis`; usually [B, H, W, C].

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
        self._band = band_matrix(channels, self.size, self.towers)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[B, ..., C] to the same."""
        move = tf.experimental.numpy.moveaxis
        x = move(inputs, self.axis, -1) if self._moves(inputs) else inputs
        alpha = self.alpha / self.size if self.divide_by_size else self.alpha
        if training:
            y = fused(self.size, self.k, alpha, self.beta, self.towers)(x)
        else:
            y = self._plain(x, alpha)
        y = tf.ensure_shape(y, x.shape)
        return move(y, -1, self.axis) if self._moves(inputs) else y

    def _plain(self, inputs: tf.Tensor, alpha: float) -> tf.Tensor:
        """[..., C] to the same; the sum over neighbours is a product with a matrix of 0 and 1."""
        x = inputs if inputs.dtype == tf.float64 else tf.cast(inputs, tf.float32)
        # One product of two matrices is several times faster than a batch of small ones.
        rows = tf.reshape(x, [-1, x.shape[-1]])  # [B · ..., C]
        weights = alpha * self._band.astype(x.dtype.as_numpy_dtype)
        y = rows * inverse_power(self.k + tf.matmul(tf.square(rows), weights), self.beta)
        return tf.cast(tf.reshape(y, tf.shape(x)), inputs.dtype)

    def _moves(self, inputs: tf.Tensor) -> bool:
        """Whether the maps lie along an axis other than the last."""
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
