"""Random numbers of a part of the maps or units, the same as a draw for all of them has there."""

from collections.abc import Callable, Sequence

import tensorflow as tf


def check_channel_shard(share: Sequence[int]) -> tuple[int, int]:
    """The share (number of the part, parts), if there is such a part.

    Raises:
        ValueError: there is not.
    """
    number, parts = share
    if not 0 <= number < parts:
        raise ValueError(f"`share` must be (number, parts), number < parts. Received: {share}")
    return number, parts


def draw_channel_shard(
    draw: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    shape: tf.Tensor,
    seed: tf.Tensor,
    share: tuple[int, int],
) -> tf.Tensor:
    """Draws for all parts and returns one: parts on several devices then need not agree on more.

    Args:
        draw: one of TensorFlow's stateless random functions.
        shape: of the part; the parts lie side by side along its last axis.
        seed: the same for all parts.
        share: which of how many parts.

    Returns:
        Random numbers of that shape.
    """
    number, parts = share
    if parts == 1:
        return draw(shape, seed)
    every = draw(tf.concat([shape[:-1], shape[-1:] * parts], axis=0), seed)
    return tf.split(every, parts, axis=-1)[number]
