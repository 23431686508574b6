"""Response normalisation within a map (`layers/layers-145.cfg`, layers cnorm2a and cnorm2b)."""

import keras
import tensorflow as tf

from alexnet_tf.layers.local_response_normalization import inverse_power


@keras.saving.register_keras_serializable(package="alexnet_tf")
class WithinMapResponseNormalization(keras.layers.Layer):
    """Divides each response by a power of the squared responses around it in the same map.

        b[y, x] = a[y, x] / (k + α / size² · Σ a[v, u]²) ** β,   v, u over a size × size square

    The square stops at the edges of the map. The paper does not mention this layer; the run behind
    its results has one after conv2's normalisation across maps (rnorm2a and rnorm2b).

    Example:
        >>> WithinMapResponseNormalization()(keras.ops.ones((1, 27, 27, 256))).shape
        TensorShape([1, 27, 27, 256])

    Args:
        size: side of the square in pixels, odd. Default 5.
        k: added to the sum. Default 1, the minimum divisor in cuda-convnet's kernels
            (`1 + addScale · …`). The repository of the 2012 code lacks those kernels.
        alpha: weight of the sum, divided by size². Default 1e-3.
        beta: exponent. Default 0.75.

    Input and output shape: [B, H, W, C].

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(
        self, size: int = 5, k: float = 1.0, alpha: float = 1e-3, beta: float = 0.75, **kwargs
    ):
        super().__init__(**kwargs)
        if size < 1 or size % 2 == 0:
            raise ValueError(f"`size` must be odd and positive. Received: size={size}")
        if k <= 0:
            raise ValueError(f"`k` must be positive, or 0 / 0 may arise. Received: k={k}")
        if alpha < 0 or beta < 0:
            raise ValueError(
                f"`alpha` and `beta` must not be negative. Received: alpha={alpha}, beta={beta}"
            )
        self.size, self.k, self.alpha, self.beta = size, k, alpha, beta

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[B, H, W, C] to the same."""
        # Squares and powers need more than the range of float16.
        x = inputs if inputs.dtype == tf.float64 else tf.cast(inputs, tf.float32)
        reach = self.size // 2
        edges = [[0, 0], [reach, reach], [reach, reach], [0, 0]]
        # Zeros outside the map add nothing to the sum. `VALID` pooling of the padded map divides by
        # size² everywhere, as the formula does; `SAME` would divide by fewer at the edges.
        squares = tf.pad(tf.square(x), edges)
        means = tf.nn.avg_pool2d(squares, self.size, 1, "VALID")  # [B, H, W, C]
        scale = inverse_power(self.k + self.alpha * means, self.beta)
        return tf.cast(x * scale, inputs.dtype)

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
        }
