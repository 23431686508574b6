"""`python -m alexnet_tf.train`, but that tiny has no dropout: its masks depend on the replicas."""

import dataclasses

from alexnet_tf import train
from alexnet_tf.models import variants
from alexnet_tf.models.spec import ACTIVATION


def tiny_without_dropout():
    tiny = variants.VARIANTS["tiny"]
    denses = tuple(
        dataclasses.replace(d, then=(ACTIVATION,) if d.units else ()) for d in tiny.denses
    )
    return dataclasses.replace(tiny, denses=denses)


if __name__ == "__main__":
    variants.VARIANTS["tiny"] = tiny_without_dropout()
    train.run()
