"""The network split over two devices, as the paper's was over two GPUs (§3.2, figure 2).

Each device holds half the kernels of every layer; conv1a is the first half of conv1's maps and
conv1b the second (the names are those of `layers/layers-145.cfg`). The halves see each other's maps
only where the whole network's row has one tower: in conv3, and in the fully connected layers.
fc8 is whole, on the first device.
"""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from alexnet_tf.models.build import make_conv, make_dense, make_layer, pad
from alexnet_tf.models.spec import Conv, Dense, Norm, Op, Variant
from alexnet_tf.system.errors import UserError

TOWERS = "ab"
Maps = list[keras.KerasTensor]  # of each tower


class OnDevice(keras.layers.Layer):
    """A layer whose weights and whose work are on one device.

    Args:
        layer: not built yet.
        device: as TensorFlow names it, e.g. "/GPU:1".
    """

    def __init__(self, layer: keras.Layer, device: str):
        super().__init__(name=layer.name)
        self.layer, self.device = layer, device

    def build(self, input_shape: tuple | list[tuple]) -> None:
        """Makes the layer's weights there."""
        with tf.device(self.device):
            self.layer.build(input_shape)

    def call(self, inputs: tf.Tensor | list[tf.Tensor]) -> tf.Tensor:
        """What the layer does; Keras tells it by itself whether this is training."""
        with tf.device(self.device):
            return self.layer(inputs)

    def compute_output_shape(self, input_shape: tuple | list[tuple]) -> tuple:
        """The layer's."""
        return self.layer.compute_output_shape(input_shape)


def build_towers(variant: Variant, classes: int, devices: tuple[str, str]) -> keras.Model:
    """Builds the network of a variant with each tower on its device.

    Args:
        variant: the row.
        classes: units of fc8.
        devices: of tower a and of tower b.

    Returns:
        A model like `build.AlexNet`'s; its weights are halves of those, paired by `pair`.

    Raises:
        UserError: not two devices, devices that there are not, or kernels that make no halves.
    """
    check_towers(variant, devices)
    builder = _Builder(variant, classes, devices)
    inputs = keras.Input((variant.preprocessing.crop_size,) * 2 + (3,), name="image")
    maps = [inputs, inputs]
    for number, conv in enumerate(variant.convs, start=1):
        maps = builder.conv(maps, conv, number)
    for number, dense in enumerate(variant.denses, start=len(variant.convs) + 1):
        maps = builder.dense(maps, dense, number)
    return keras.Model(inputs, maps[0], name=f"alexnet_{variant.name}_towers")


class _Builder:
    """Puts layers on the towers' devices; halves of maps go in and come out."""

    def __init__(self, variant: Variant, classes: int, devices: tuple[str, str]):
        self.variant, self.classes, self.devices = variant, classes, devices

    def conv(self, maps: Maps, conv: Conv, number: int) -> Maps:
        """A convolution and what follows it."""
        half = dataclasses.replace(conv, filters=conv.filters // 2, towers=1)
        if conv.towers == 1 and number > 1:
            maps = self.exchange(maps, conv.name)
        convolved = []
        for tower in (0, 1):
            x = maps[tower]
            if padding := pad(half, number):
                x = self.on(tower, padding, x)
            fan_in = conv.kernel**2 * x.shape[-1]
            convolved.append(self.on(tower, make_conv(half, fan_in), x))
        return self.ops(convolved, conv.post_ops, number)

    def dense(self, maps: Maps, dense: Dense, number: int) -> Maps:
        """A fully connected layer, what precedes it and what follows it."""
        maps = self.ops(maps, dense.pre_ops, number)
        maps = self.exchange(maps, dense.name)
        if len(maps[0].shape) > 2:  # in the order of the whole network's flattened maps
            maps = [self.on(t, keras.layers.Flatten(name="flatten"), maps[t]) for t in (0, 1)]
        fan_in = maps[0].shape[-1]
        if dense.units is None:
            layer = make_dense(dense, self.classes, fan_in)
            return [OnDevice(layer, self.devices[0])(maps[0])]
        half = dataclasses.replace(dense, units=dense.units // 2)
        maps = [self.on(t, make_dense(half, self.classes, fan_in), maps[t]) for t in (0, 1)]
        return self.ops(maps, dense.post_ops, number)

    def ops(self, maps: Maps, ops: tuple[Op, ...], number: int) -> Maps:
        """What a row lists around its weights."""
        for op in ops:
            if isinstance(op, Norm) and op.towers == 1:  # over the maps of both, on the first
                whole = self.exchange(maps, f"norm{number}")[0]
                whole = OnDevice(make_layer(op, number, self.variant), self.devices[0])(whole)
                maps = list(keras.ops.split(whole, 2, axis=-1))
                continue
            if isinstance(op, Norm):
                op = dataclasses.replace(op, towers=1)
            maps = [self.on(t, make_layer(op, number, self.variant), maps[t]) for t in (0, 1)]
        return maps

    def exchange(self, maps: Maps, name: str) -> Maps:
        """The maps of both towers, on either device: here bytes cross."""
        return [self.on(t, keras.layers.Concatenate(name=f"to_{name}"), maps) for t in (0, 1)]

    def on(self, tower: int, layer: keras.Layer, inputs: Maps | keras.KerasTensor) -> Maps:
        """The layer under the name of a tower, on its device."""
        config = {**layer.get_config(), "name": f"{layer.name}{TOWERS[tower]}"}
        if "share" in config:  # it draws random numbers: those that the whole layer has there
            config["share"] = (tower, len(TOWERS))
        with tf.device(self.devices[tower]):  # the state of its random numbers, too
            own = type(layer).from_config(config)
        return OnDevice(own, self.devices[tower])(inputs)


@dataclasses.dataclass(frozen=True)
class Half:
    """A variable of the towers and its place in the whole network's.

    Attributes:
        own: index among the towers' variables.
        whole: index among the whole network's.
        tower: 0 or 1, the half of the last axis that it is; None for all of it.
    """

    own: int
    whole: int
    tower: int | None

    def of(self, value: tf.Tensor) -> tf.Tensor:
        """The half of a tensor [..., n] that it is, [..., n / 2]."""
        return value if self.tower is None else tf.split(value, 2, axis=-1)[self.tower]


def pair(towers: keras.Model, whole: keras.Model) -> list[Half]:
    """Which part of which trainable variable of the whole network each of the towers' is.

    Raises:
        ValueError: names or shapes that do not fit.
    """
    places = {variable.path: place for place, variable in enumerate(whole.trainable_variables)}
    halves = []
    for own, variable in enumerate(towers.trainable_variables):
        layer, name = variable.path.split("/")[-2:]
        if f"{layer}/{name}" in places:
            half = Half(own, places[f"{layer}/{name}"], None)
        elif layer[-1] in TOWERS and f"{layer[:-1]}/{name}" in places:
            half = Half(own, places[f"{layer[:-1]}/{name}"], TOWERS.index(layer[-1]))
        else:
            raise ValueError(f"Expected half of a variable of {sorted(places)}. Received: {layer}")
        expected = half.of(tf.zeros(whole.trainable_variables[half.whole].shape)).shape
        if variable.shape != expected:
            raise ValueError(f"Expected {variable.path} of {expected}. Received: {variable.shape}")
        halves.append(half)
    return halves


def check_towers(variant: Variant, devices: tuple[str, ...]) -> None:
    """Sees whether a network can be split over devices.

    Raises:
        UserError: not two devices, devices that there are not, or kernels that make no halves.
    """
    if len(devices) != 2 or devices[0] == devices[1]:
        raise UserError(f"Expected two --tower_devices. Received: {', '.join(devices)}")
    there = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()]
    for device in devices:
        if device.upper().removeprefix("/").removeprefix("DEVICE:") not in there:
            raise UserError(
                f"Expected --tower_devices of {', '.join('/' + name for name in there)}. "
                f"Received: {device}"
            )
    odd = [row.name for row in variant.convs if row.filters % 2 or row.towers > 2]
    odd += [row.name for row in variant.denses if row.units and row.units % 2]
    if odd:
        raise UserError(
            f"Expected --tower_devices with kernels that can be halved. Received: {variant.name}, "
            f"whose {', '.join(odd)} cannot"
        )
