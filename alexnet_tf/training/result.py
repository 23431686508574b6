"""What is left when a run ends."""

from __future__ import annotations

import dataclasses
import signal

from alexnet_tf.evaluation.classifier import Classifier
from alexnet_tf.evaluation.predictions import Evaluation
from alexnet_tf.training.directory import ModelDirectory


@dataclasses.dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        directory: where it lies.
        step: training steps done in all.
        trained: whether there was anything left to do.
        evaluation: on the validation set; None if the run was interrupted.
        classifier: the trained network.
        interrupted_by: the signal that ended it before its time, or None.
    """

    directory: ModelDirectory
    step: int
    trained: bool
    evaluation: Evaluation | None
    classifier: Classifier
    interrupted_by: signal.Signals | None
