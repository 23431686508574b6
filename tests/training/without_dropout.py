"""`python -m alexnet_tf.train` with a tiny without dropout, whose masks depend on the replicas."""

import dataclasses

from alexnet_tf import train
from alexnet_tf.models import variants
from alexnet_tf.models.spec import Dropout


def without_dropout(variant):
    def rest(ops):
        return tuple(op for op in ops if not isinstance(op, Dropout))

    denses = tuple(
        dataclasses.replace(dense, pre_ops=rest(dense.pre_ops), post_ops=rest(dense.post_ops))
        for dense in variant.denses
    )
    return dataclasses.replace(variant, denses=denses)


def tiny_without_dropout():
    return without_dropout(variants.VARIANTS["tiny"])


if __name__ == "__main__":
    variants.VARIANTS["tiny"] = tiny_without_dropout()
    train.run()
