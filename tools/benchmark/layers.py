"""Single layers, forward and backward, at the sizes of the variant `paper`."""

from __future__ import annotations

from collections.abc import Callable

from tools.benchmark.contestants import Contestant, Settings, Turn

_CALLS = 4  # per step of the settings, because layers are faster than networks


def contestants(variant: str) -> dict[str, Contestant]:
    """The contestants by name; each layer of ours precedes the one that it is compared with."""
    del variant  # sizes are always the paper's

    def row(about: str, shape: tuple[int, int, int], make: Callable, **how) -> Contestant:
        return Contestant(about, lambda settings: _turn(settings, shape, make), **how)

    conv1, conv2 = (55, 55, 96), (27, 27, 96)  # outputs of conv1, inputs of conv2
    return {
        "lrn": row("response normalisation, ours", conv1, _ours_lrn),
        "lrn_tensorflow": row(
            "tf.nn.local_response_normalization", conv1, _their_lrn, against="lrn"
        ),
        "grouped": row("grouped convolution (conv2), ours", conv2, _ours_grouped),
        "grouped_keras": row("keras Conv2D(groups=2)", conv2, _their_grouped, against="grouped"),
    }


def _turn(settings: Settings, shape: tuple[int, int, int], make: Callable) -> Turn:
    """Forward and backward through a layer, with gradients of its input and its weights."""
    import tensorflow as tf

    layer, variables = make(shape)
    x = 10 * tf.nn.relu(tf.random.stateless_normal([settings.batch_size, *shape], (0, 0)))
    upstream = tf.random.stateless_normal(tf.shape(layer(x)), (0, 1))

    @tf.function
    def forward_and_backward() -> tf.Tensor:
        """A number that depends on every gradient."""
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        gradients = tape.gradient(y, [x, *variables], upstream)
        return tf.add_n([gradient[(0,) * len(gradient.shape)] for gradient in gradients])

    def turn() -> float:
        """Runs the layer; returns the number of images."""
        for _ in range(settings.steps * _CALLS):
            forward_and_backward().numpy()
        return settings.steps * _CALLS * settings.batch_size

    return turn


def _ours_lrn(shape: tuple[int, int, int]):
    from alexnet_tf.layers import LocalResponseNormalization

    layer = LocalResponseNormalization()
    layer.build((None, *shape))
    return lambda x: layer(x, training=True), []


def _their_lrn(shape: tuple[int, int, int]):
    import tensorflow as tf

    del shape
    return lambda x: tf.nn.local_response_normalization(x, 2, 2.0, 1e-4, 0.75), []


def _ours_grouped(shape: tuple[int, int, int]):
    from alexnet_tf.layers import GroupedConv2D

    layer = GroupedConv2D(256, 5, groups=2)
    layer.build((None, *shape))
    return layer, [variable.value for variable in layer.trainable_variables]


def _their_grouped(shape: tuple[int, int, int]):
    import keras

    layer = keras.layers.Conv2D(256, 5, padding="same", groups=2)
    layer.build((None, *shape))
    return layer, [variable.value for variable in layer.trainable_variables]
