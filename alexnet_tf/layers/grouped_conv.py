"""Convolution in towers (paper §3.2 and figure 2)."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="alexnet_tf")
class GroupedConv2D(keras.layers.Layer):
    """Convolution in groups: each group of output maps sees one group of input maps.

    Group g of the output, maps [g · F/G, (g+1) · F/G), is the convolution of the input's maps
    [g · C/G, (g+1) · C/G) with the kernel's last-axis slice g: the same weights, in the same
    order, as `keras.layers.Conv2D(groups=G)`, `tf.nn.conv2d` and Caffe's `group`.

    Each group is one convolution. Keras's own grouped convolution goes through XLA on CPU and is
    several times slower. One `tf.nn.conv2d` over all groups is no faster, and has no gradient on
    CPU where oneDNN is switched off.

    Example:
        >>> layer = GroupedConv2D(256, 5, groups=2)
        >>> layer(keras.ops.ones((1, 27, 27, 96))).shape, tuple(layer.kernel.shape)
        (TensorShape([1, 27, 27, 256]), (5, 5, 48, 256))

    Args:
        filters: F, output maps over all groups.
        kernel_size: kernel height and width in pixels.
        groups: G. Default 2.
        strides: pixels. Default 1.
        padding: "same" or "valid". Default "same".
        kernel_initializer, bias_initializer: as in Keras. Default Glorot uniform and zeros.

    Input shape: [B, H, W, C]. Output shape: [B, H', W', F].

    Raises:
        ValueError: an argument out of range, or filters or maps that do not divide by groups.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        groups: int = 2,
        strides: int = 1,
        padding: str = "same",
        kernel_initializer: str | keras.Initializer = "glorot_uniform",
        bias_initializer: str | keras.Initializer = "zeros",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if groups < 1 or filters < 1 or filters % groups:
            raise ValueError(
                "`filters` must be positive and divide by `groups`. "
                f"Received: filters={filters}, groups={groups}"
            )
        if kernel_size < 1 or strides < 1:
            raise ValueError(
                "`kernel_size` and `strides` must be at least 1 pixel. "
                f"Received: kernel_size={kernel_size}, strides={strides}"
            )
        if padding not in ("same", "valid"):
            raise ValueError(f'`padding` must be "same" or "valid". Received: padding={padding!r}')
        self.filters, self.kernel_size, self.groups = filters, kernel_size, groups
        self.strides, self.padding = strides, padding
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape: tuple) -> None:
        """Makes kernel [K, K, C/G, F] and bias [F]."""
        channels = input_shape[-1]
        if channels is None or channels % self.groups:
            raise ValueError(
                f"The input's maps must be known and divide by groups={self.groups}. "
                f"Received: input_shape={input_shape}"
            )
        self.kernel = self.add_weight(
            shape=(self.kernel_size, self.kernel_size, channels // self.groups, self.filters),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(self.filters,), initializer=self.bias_initializer, name="bias"
        )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[B, H, W, C] to [B, H', W', F]."""
        kernel = tf.convert_to_tensor(self.kernel)
        maps = [
            tf.nn.conv2d(part, weights, self.strides, self.padding.upper())
            for part, weights in zip(
                tf.split(inputs, self.groups, axis=-1),  # [B, H, W, C/G] each
                tf.split(kernel, self.groups, axis=-1),  # [K, K, C/G, F/G] each
                strict=True,
            )
        ]
        return tf.nn.bias_add(tf.concat(maps, axis=-1), tf.convert_to_tensor(self.bias))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """[B, H', W', F]."""
        trim = 0 if self.padding == "same" else self.kernel_size - 1
        sides = (
            None if side is None else -(-(side - trim) // self.strides) for side in input_shape[1:3]
        )
        return (input_shape[0], *sides, self.filters)

    def get_config(self) -> dict:
        """The arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "groups": self.groups,
            "strides": self.strides,
            "padding": self.padding,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
