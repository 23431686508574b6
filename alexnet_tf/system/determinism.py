"""Whether this process refuses operations whose result may differ from one run to the next.

TensorFlow can be told so, but has no public way to ask it.
"""

from __future__ import annotations

import tensorflow as tf

_asked_for = False


def ask_for() -> None:
    """From now on, for good."""
    global _asked_for
    _asked_for = True
    tf.config.experimental.enable_op_determinism()


def is_asked_for() -> bool:
    """Whether `ask_for` was called."""
    return _asked_for
