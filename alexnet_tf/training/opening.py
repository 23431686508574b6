"""What a run says at its beginning."""

from __future__ import annotations

from alexnet_tf.data.dataset import ImageDataset
from alexnet_tf.models.spec import Variant
from alexnet_tf.towers.placement import describe_placement
from alexnet_tf.training.options import Options
from alexnet_tf.training.parts import Parts
from alexnet_tf.training.steps import make_gradients
from alexnet_tf.training.timetable import Timetable


def describe_run(
    options: Options, variant: Variant, source: ImageDataset, timetable: Timetable, parts: Parts
) -> str:
    """The network, the data and the length of the run; and its towers' devices, if it has them."""
    devices = 2 if parts.towers else parts.replicas
    lines = [
        f"AlexNet {variant.name}: {parts.model.count_params():,} parameters, "
        f"{variant.preprocessing.crop_size} pixels, {options.precision}, "
        f"{devices} {parts.kind}{'s' if devices > 1 else ''}",
        f"{source.name}: {source.train.examples:,} training and "
        f"{source.validation.examples:,} validation images of {len(source.classes):,} classes",
        f"{timetable.total_steps:,} steps of {options.batch_size} images "
        f"({timetable.epoch(timetable.total_steps):g} epochs)",
    ]
    if parts.towers:
        gradients_of = make_gradients(
            parts.network,
            parts.towers.optimizer,
            parts.classifier.preprocessor,
            options.batch_size,
            colocate=True,
        )
        placement = describe_placement(
            gradients_of, parts.network, variant.preprocessing, options.tower_devices
        )
        lines.append(placement)
    return "\n".join(lines)
