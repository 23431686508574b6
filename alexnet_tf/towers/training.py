"""Training of the network that is split over two devices, and the way to the whole one and back."""

from __future__ import annotations

import keras
import tensorflow as tf

from alexnet_tf.models.spec import Variant
from alexnet_tf.towers.network import build_towers, pair
from alexnet_tf.training.optimizers import make_optimizer
from alexnet_tf.training.options import Options
from alexnet_tf.training.sgd import PaperSGD


class Towers:
    """What is trained in place of the whole network; the whole one is what is kept.

    Weights, velocities and random states are copied to the towers where a run begins, and back
    where it is validated or saved. So a checkpoint is the same with and without towers.

    Args:
        options: the run's.
        variant: the network.
        classes: how many.
        model: the whole network.
        sgd: its update.
        optimizer: the same, or what wraps it for float16.
    """

    def __init__(
        self,
        options: Options,
        variant: Variant,
        classes: int,
        model: keras.Model,
        sgd: PaperSGD,
        optimizer: keras.optimizers.Optimizer,
    ):
        self.model = build_towers(variant, classes, options.tower_devices)
        self.sgd, self.optimizer = make_optimizer(options, self.model)
        self._whole = (model, sgd, optimizer)
        self._halves = pair(self.model, model)

    def scatter(self) -> None:
        """Copies the whole network's state to the towers."""
        model, sgd, _ = self._whole
        for half in self._halves:
            for own, whole in (
                (self.model.trainable_variables, model.trainable_variables),
                (self.sgd.velocities, sgd.velocities),
            ):
                own[half.own].assign(half.of(tf.convert_to_tensor(whole[half.whole])))
        for own, whole in self._scalars():
            own.assign(whole)
        for own, whole in self._seeds():
            own.assign(whole)

    def gather(self) -> None:
        """Copies the towers' state to the whole network."""
        model, sgd, _ = self._whole
        for own, whole in (
            (self.model.trainable_variables, model.trainable_variables),
            (self.sgd.velocities, sgd.velocities),
        ):
            parts: dict[int, list[tf.Tensor]] = {}
            for half in self._halves:  # tower a comes before tower b
                parts.setdefault(half.whole, []).append(tf.convert_to_tensor(own[half.own]))
            for place, values in parts.items():
                whole[place].assign(tf.concat(values, axis=-1))
        for own, whole in self._scalars():
            whole.assign(own)
        for own, whole in self._seeds():  # both towers count the same
            whole.assign(own)

    def _scalars(self) -> list[tuple[keras.Variable, keras.Variable]]:
        """The optimizers' counters: of the towers, and of the whole network."""
        _, sgd, optimizer = self._whole
        pairs = [(self.sgd.iterations, sgd.iterations)]
        if optimizer is not sgd:
            for name in ("step_counter", "dynamic_scale"):
                pairs.append((getattr(self.optimizer, name), getattr(optimizer, name)))
        return pairs

    def _seeds(self) -> list[tuple[keras.Variable, keras.Variable]]:
        """States of dropout: a tower's, and the whole network's."""
        whole = {layer.name: layer for layer in self._whole[0].layers}
        found = []
        for layer in self.model.layers:
            inner = getattr(layer, "layer", None)
            if hasattr(inner, "seed_generator"):
                kept = whole[layer.name[:-1]].seed_generator.state
                found.append((inner.seed_generator.state, kept))
        return found
