"""Training of the network that is split over two devices."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from alexnet_tf.models.spec import Variant
from alexnet_tf.towers.network import build_towers, pair
from alexnet_tf.towers.placement import describe_placement
from alexnet_tf.training.network import TrainableNetwork
from alexnet_tf.training.optimizer import PaperSGD, make_optimizer, variable_handle
from alexnet_tf.training.options import Options
from alexnet_tf.training.schedule import LearningRates


@keras.saving.register_keras_serializable(package="alexnet_tf")
class TowersSGD(PaperSGD):
    """`PaperSGD` that computes the whole update of a variable on the variable's device."""

    def update_step(
        self,
        gradient: tf.Tensor,
        variable: keras.Variable | tf.Variable,
        learning_rate: tf.Tensor,
    ) -> None:
        """Updates one variable and its velocity."""
        with tf.device(variable_handle(variable).device):
            super().update_step(gradient, variable, learning_rate)


class SplitNetwork(TrainableNetwork):
    """A network on two devices, and how its gradients and norms are computed there.

    Args:
        model: `build_towers`'s.
        optimizer: a `TowersSGD`, or what wraps it for float16; built.
    """

    def gradients(self, tape: tf.GradientTape, loss: tf.Tensor) -> list[tf.Tensor]:
        """Gradients of each operation on its device; a tape would compute all of them on one."""
        values = [variable.value for variable in self.model.trainable_variables]
        return tf.compat.v1.gradients(loss, values, colocate_gradients_with_ops=True)

    def half_square(self, value: tf.Tensor | tf.Variable) -> tf.Tensor:
        """Half the squared norm of a tensor, on its device."""
        with tf.device(value.device):
            return super().half_square(value)


class TowersNetwork(SplitNetwork):
    """The towers, which are trained, and the unsplit network, which is saved and evaluated.

    Weights, velocities and random states are copied to the towers when a run begins or resumes,
    and back when it is validated or saved. So a checkpoint is the same with and without towers.

    Args:
        whole: the unsplit network.
        options: of the run.
        variant: of the network.
        classes: how many.

    Raises:
        UserError: the variant cannot be split over these devices.
    """

    def __init__(self, whole: TrainableNetwork, options: Options, variant: Variant, classes: int):
        model = build_towers(variant, classes, options.tower_devices)
        super().__init__(model, make_optimizer(options, model, TowersSGD))
        self.checkpointed, self._devices = whole, options.tower_devices
        self._preprocessing = variant.preprocessing
        self._sharded = pair(self.model, whole.model)

    def set_learning_rates(self, rates: LearningRates, multipliers: bool = True) -> None:
        """Sets the learning rates of the next step, also in the optimizer that is saved."""
        self.checkpointed.set_learning_rates(rates, multipliers)
        super().set_learning_rates(rates, multipliers)

    def copy_from_checkpointed(self) -> None:
        """Copies the state of the unsplit network to the towers."""
        for towers, whole in self._variable_lists():
            for each in self._sharded:
                value = tf.convert_to_tensor(whole[each.whole_index])
                towers[each.index].assign(each.shard(value))
        for own, whole in (*self._counters(), *self._random_states()):
            own.assign(whole)

    def copy_to_checkpointed(self) -> None:
        """Copies the state of the towers to the unsplit network."""
        for towers, whole in self._variable_lists():
            parts: dict[int, list[tf.Tensor]] = {}
            for each in self._sharded:  # tower a comes before tower b
                value = tf.convert_to_tensor(towers[each.index])
                parts.setdefault(each.whole_index, []).append(value)
            for index, values in parts.items():
                whole[index].assign(tf.concat(values, axis=-1))
        for own, whole in (*self._counters(), *self._random_states()):  # equal in both towers
            whole.assign(own)

    def devices(self, strategy: tf.distribute.Strategy) -> list[str]:
        """The devices of the towers."""
        return list(self._devices)

    def describe(self, compute_gradients: Callable) -> str:
        """The device of each layer, and the bytes that cross between them."""
        return describe_placement(compute_gradients, self.model, self._preprocessing, self._devices)

    def _variable_lists(self) -> list[tuple[list, list]]:
        """Weights and velocities, of the towers and of the unsplit network."""
        whole = self.checkpointed
        return [
            (self.model.trainable_variables, whole.model.trainable_variables),
            (self.sgd.velocities, whole.sgd.velocities),
        ]

    def _counters(self) -> list[tuple[keras.Variable, keras.Variable]]:
        """The optimizers' counters, of the towers and of the unsplit network."""
        whole = self.checkpointed
        pairs = [(self.sgd.iterations, whole.sgd.iterations)]
        if self.optimizer is not self.sgd:
            for name in ("step_counter", "dynamic_scale"):
                pairs.append((getattr(self.optimizer, name), getattr(whole.optimizer, name)))
        return pairs

    def _random_states(self) -> list[tuple[keras.Variable, keras.Variable]]:
        """The states of dropout, of a tower and of the unsplit network."""
        whole = {layer.name: layer for layer in self.checkpointed.model.layers}
        found = []
        for layer in self.model.layers:
            inner = getattr(layer, "layer", None)
            if hasattr(inner, "seed_generator"):
                state = whole[layer.name[:-1]].seed_generator.state
                found.append((inner.seed_generator.state, state))
        return found
