"""Whether this process refuses operations whose result may differ from one run to the next.

TensorFlow can be told so, but has no public way to ask it.
"""

from __future__ import annotations

import tensorflow as tf

_enabled = False


def enable() -> None:
    """Refuses such operations from now on, until the process ends."""
    global _enabled
    _enabled = True
    tf.config.experimental.enable_op_determinism()


def is_enabled() -> bool:
    """Whether `enable` was called."""
    return _enabled
