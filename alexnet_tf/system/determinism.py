"""Whether this process refuses operations whose result may differ from one run to the next.

A run with --deterministic asks TensorFlow for it, and so may the program, an earlier run in the
same process, or the environment variable TF_DETERMINISTIC_OPS.
"""

from __future__ import annotations

import tensorflow as tf

from alexnet_tf.system.environment import check_determinism_variable


def enable() -> None:
    """Refuses such operations from now on, until the process ends."""
    tf.config.experimental.enable_op_determinism()


def is_enabled() -> bool:
    """Whether this process refuses them.

    TensorFlow has no public way to ask. But it then refuses to read the clock, too.

    Raises:
        UserError: TF_DETERMINISTIC_OPS has a value that TensorFlow does not understand.
    """
    check_determinism_variable()
    try:
        with tf.init_scope():
            tf.timestamp()
    except tf.errors.FailedPreconditionError:
        return True
    return False
