"""AlexNet from Keras's own layers, for `Model.fit`."""

from __future__ import annotations

import keras
import tensorflow as tf

from alexnet_tf.models.spec import ACTIVATION, Dropout, Norm, Op, Pool, Variant


class _Normalization(keras.layers.Layer):
    """TensorFlow's response normalisation, tower by tower."""

    def __init__(self, norm: Norm):
        super().__init__()
        self.norm = norm

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[B, H, W, C] to the same."""
        norm = self.norm
        alpha = norm.alpha / norm.size if norm.divide_by_size else norm.alpha
        return tf.concat(
            [
                tf.nn.local_response_normalization(maps, norm.size // 2, norm.k, alpha, norm.beta)
                for maps in tf.split(inputs, norm.towers, axis=-1)
            ],
            axis=-1,
        )


def build(variant: Variant, classes: int) -> keras.Model:
    """The network of a variant, compiled with momentum and weight decay.

    Raises:
        NotImplementedError: Keras has no layer for one of its operations.
    """
    size = variant.preprocessing.crop_size
    x = inputs = keras.Input((size, size, 3))
    for conv in variant.convs:
        padding = conv.padding
        if padding != "same":
            x = keras.layers.ZeroPadding2D((padding, padding))(x)
            padding = "valid"
        x = keras.layers.Conv2D(
            conv.filters, conv.kernel, conv.stride, padding, groups=conv.towers,
            kernel_initializer=keras.initializers.RandomNormal(0, 0.01),
        )(x)  # fmt: skip
        x = _apply(conv.post_ops, x)
    x = keras.layers.Flatten()(x)
    for dense in variant.denses:
        x = _apply(dense.pre_ops, x)
        x = keras.layers.Dense(
            dense.units or classes, kernel_initializer=keras.initializers.RandomNormal(0, 0.01)
        )(x)
        x = _apply(dense.post_ops, x)
    model = keras.Model(inputs, x)
    model.compile(
        keras.optimizers.SGD(0.001, momentum=0.9, weight_decay=0.0005),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def _apply(ops: tuple[Op, ...], x: keras.KerasTensor) -> keras.KerasTensor:
    for op in ops:
        if op == ACTIVATION:
            x = keras.layers.ReLU()(x)
        elif isinstance(op, Norm):
            x = _Normalization(op)(x)
        elif isinstance(op, Pool):
            x = keras.layers.MaxPooling2D(op.size, op.stride)(x)
        elif isinstance(op, Dropout):
            x = keras.layers.Dropout(op.rate)(x)
        else:
            raise NotImplementedError(f"Keras has no layer for {op!r}")
    return x
