"""The network split over two devices, as the paper's was over two GPUs (§3.2, figure 2).

Each device holds half the kernels of every layer: conv1a makes the first half of conv1's maps and
conv1b the second (names as in `layers/layers-145.cfg`). A tower sees the maps of the other one only
where the variant's layer has `towers=1`: in conv3, and in the fully connected layers. fc8 is not
split; it is on the first device.
"""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from alexnet_tf.models.build import make_conv, make_dense, make_layer, pad
from alexnet_tf.models.spec import Conv, Dense, Norm, Op, Variant
from alexnet_tf.system.errors import UserError
from alexnet_tf.towers.layers import OnDevice, copy_for_tower

TOWERS = "ab"
Maps = list[keras.KerasTensor]  # of each tower


def build_towers(variant: Variant, classes: int, devices: tuple[str, str]) -> keras.Model:
    """Builds the network of a variant with each tower on its device.

    Args:
        variant: of the network.
        classes: units of fc8.
        devices: of tower a and of tower b.

    Returns:
        A model like that of `build.AlexNet`, from [B, S, S, 3] to logits [B, classes]; `pair`
        finds its weights in the other one.

    Raises:
        UserError: not two devices, a device that does not exist, or an odd number of kernels.
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
    """Makes the layers of both towers; takes and returns the maps of each tower."""

    def __init__(self, variant: Variant, classes: int, devices: tuple[str, str]):
        self.variant, self.classes, self.devices = variant, classes, devices

    def conv(self, maps: Maps, conv: Conv, number: int) -> Maps:
        """A convolution and the operations after it."""
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
        """A fully connected layer and the operations before and after it."""
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
        """The operations before or after a layer's weights."""
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
        """The maps of both towers on each device: here bytes cross."""
        return [self.on(t, keras.layers.Concatenate(name=f"to_{name}"), maps) for t in (0, 1)]

    def on(self, tower: int, layer: keras.Layer, inputs: Maps | keras.KerasTensor) -> Maps:
        """The layer under the name of a tower, on its device."""
        with tf.device(self.devices[tower]):  # also the state of its random numbers
            own = copy_for_tower(layer, f"{layer.name}{TOWERS[tower]}", (tower, len(TOWERS)))
        return OnDevice(own, self.devices[tower])(inputs)


@dataclasses.dataclass(frozen=True)
class ShardedVariable:
    """A variable of the towers and its place in the unsplit network.

    Attributes:
        index: among the towers' trainable variables.
        whole_index: among the trainable variables of the unsplit network.
        tower: 0 or 1, which half of the last axis it is; None if it is all of it.
    """

    index: int
    whole_index: int
    tower: int | None

    def shard(self, value: tf.Tensor) -> tf.Tensor:
        """The part of the whole value [..., n]: [..., n / 2], or all of it."""
        return value if self.tower is None else tf.split(value, 2, axis=-1)[self.tower]


def pair(towers: keras.Model, whole: keras.Model) -> list[ShardedVariable]:
    """Finds each trainable variable of the towers in the unsplit network.

    Raises:
        ValueError: names or shapes that do not fit.
    """
    indices = {variable.path: index for index, variable in enumerate(whole.trainable_variables)}
    found = []
    for index, variable in enumerate(towers.trainable_variables):
        layer, name = variable.path.split("/")[-2:]
        if f"{layer}/{name}" in indices:
            sharded = ShardedVariable(index, indices[f"{layer}/{name}"], None)
        elif layer[-1] in TOWERS and f"{layer[:-1]}/{name}" in indices:
            whole_index = indices[f"{layer[:-1]}/{name}"]
            sharded = ShardedVariable(index, whole_index, TOWERS.index(layer[-1]))
        else:
            raise ValueError(f"Expected half of a variable of {sorted(indices)}. Received: {layer}")
        shape = whole.trainable_variables[sharded.whole_index].shape
        expected = sharded.shard(tf.zeros(shape)).shape
        if variable.shape != expected:
            raise ValueError(f"Expected {variable.path} of {expected}. Received: {variable.shape}")
        found.append(sharded)
    return found


def check_towers(variant: Variant, devices: tuple[str, ...]) -> None:
    """Checks that a network can be split over devices.

    Raises:
        UserError: not two devices, a device that does not exist, or an odd number of kernels.
    """
    if len(devices) != 2 or devices[0] == devices[1]:
        raise UserError(f"Expected two --tower_devices. Received: {', '.join(devices)}")
    existing = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()]
    for device in devices:
        if device.upper().removeprefix("/").removeprefix("DEVICE:") not in existing:
            raise UserError(
                f"Expected --tower_devices of {', '.join('/' + name for name in existing)}. "
                f"Received: {device}"
            )
    odd = [row.name for row in variant.convs if row.filters % 2 or row.towers > 2]
    odd += [row.name for row in variant.denses if row.units and row.units % 2]
    if odd:
        raise UserError(
            "Expected --tower_devices with an even number of kernels in each layer. Received: "
            f"{variant.name}, where {', '.join(odd)} cannot be halved"
        )
