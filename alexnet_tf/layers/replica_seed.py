"""Random seeds that differ between replicas."""

import keras
import tensorflow as tf


def replica_seed(generator: keras.random.SeedGenerator) -> tf.Tensor:
    """The next seed of the generator, int32 [2], offset by the number of the replica.

    Keras keeps one generator state a replica, all equal, so that every replica would drop the
    same units; the paper's masks are independent. Replica 0 gets the plain seed.
    """
    seed = tf.convert_to_tensor(generator.next())
    context = tf.distribute.get_replica_context()
    replica = 0 if context is None else context.replica_id_in_sync_group
    return tf.cast(seed, tf.int32) + tf.stack([tf.cast(replica, tf.int32) * 7919, 0])
