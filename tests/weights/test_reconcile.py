"""Networks of other conventions give the same logits with the same file."""

import dataclasses
import math

import numpy as np
import pytest

from alexnet_tf.applications import AlexNet
from alexnet_tf.models.spec import Dropout, Norm, Pool, WithinMapNorm
from alexnet_tf.models.variants import CAFFE, VARIANTS
from alexnet_tf.system.errors import UserError
from alexnet_tf.weights.arrays import WeightFile, fitting_variants
from alexnet_tf.weights.files import arrays_for
from alexnet_tf.weights.network import assign
from alexnet_tf.weights.reconcile import irreconcilable, reconcile
from tests.weights.narrow import CLASSES, NARROW, assert_equal, images, random_arrays


def changed(variant, op_type, name="changed", **fields):
    """The variant with fields of all its operations of a type replaced."""

    def own(ops):
        return tuple(
            dataclasses.replace(op, **fields) if isinstance(op, op_type) else op for op in ops
        )

    return dataclasses.replace(
        variant,
        name=name,
        convs=tuple(dataclasses.replace(c, post_ops=own(c.post_ops)) for c in variant.convs),
        denses=tuple(
            dataclasses.replace(d, pre_ops=own(d.pre_ops), post_ops=own(d.post_ops))
            for d in variant.denses
        ),
    )


def with_channels(variant, channels):
    return dataclasses.replace(
        variant, preprocessing=dataclasses.replace(variant.preprocessing, channels=channels)
    )


def logits(variant, found, x):
    model = AlexNet(variant, CLASSES)
    assign(model, variant, found)
    return np.asarray(model(x))


CHANGES = {
    "channels": lambda v: with_channels(v, "rgb"),
    "k": lambda v: changed(v, Norm, k=2.0),
    "alpha": lambda v: changed(v, Norm, alpha=3e-3),
    "alpha not divided": lambda v: changed(v, Norm, divide_by_size=False),
    "dropout": lambda v: changed(v, Dropout, convention="unscaled"),
    "dropout of 0.3": lambda v: changed(v, Dropout, convention="unscaled", rate=0.3),
    "all": lambda v: with_channels(
        changed(changed(v, Norm, k=3.0, alpha=1e-3), Dropout, convention="unscaled"), "rgb"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["caffe", "caffenet"])
def test_logits_agree(name, change):
    source = NARROW[name]
    target = CHANGES[change](source)
    arrays = random_arrays(source)
    found = WeightFile("a file", "test", arrays, (source,))
    x = images(source)
    expected = logits(source, found, x)
    other = x if source.preprocessing.channels == target.preprocessing.channels else x[..., ::-1]
    actual = logits(target, found, other)
    assert np.abs(actual - expected).max() <= 1e-4 * np.abs(expected).max()
    # The change matters: unreconciled weights give other logits.
    raw = logits(target, dataclasses.replace(found, conventions=()), other)
    assert np.abs(raw - expected).max() > 1e-3 * np.abs(expected).max()


def test_there_and_back_of_exact_changes_is_identical():
    source = NARROW["caffe"]
    target = with_channels(changed(source, Dropout, convention="unscaled"), "rgb")
    arrays = random_arrays(source)
    assert_equal(reconcile(reconcile(arrays, source, target), target, source), arrays)


def with_conv(variant, index, **fields):
    convs = list(variant.convs)
    convs[index] = dataclasses.replace(convs[index], **fields)
    return dataclasses.replace(variant, name="other", convs=tuple(convs))


IRRECONCILABLE = {
    "order": (NARROW["caffenet"], "pooling → normalisation here"),
    "towers": (changed(CAFFE, Norm, towers=2), "normalisation in 2 towers"),
    "beta": (changed(CAFFE, Norm, beta=0.5), "beta=0.75.* there and .*beta=0.5"),
    "size": (changed(CAFFE, Norm, size=3), "size=5.* there and .*size=3"),
    "pools": (changed(CAFFE, Pool, size=2), "conv5 is followed by .*size=3.* there and .*size=2"),
    "activation": (dataclasses.replace(CAFFE, activation="tanh"), "relu there and tanh here"),
    "stride": (with_conv(CAFFE, 2, stride=2), "conv3 has another kernel, stride or padding"),
    "padding": (with_conv(CAFFE, 1, padding=(1, 3)), "conv2 has another kernel, stride or pad"),
    "groups": (with_conv(CAFFE, 1, towers=1), "conv2 has another"),
    "layers": (dataclasses.replace(CAFFE, denses=CAFFE.denses[1:]), "fc7, fc8 here"),
    "no norm": (with_conv(CAFFE, 0, post_ops=("activation",)), "by activation here"),
}


@pytest.mark.parametrize("case", IRRECONCILABLE)
def test_networks_that_no_weights_make_equal_are_refused(case):
    target, message = IRRECONCILABLE[case]
    with pytest.raises(UserError, match=f"weights of caffe do not fit .*{message}") as error:
        reconcile(random_arrays(NARROW["caffe"]), CAFFE, target)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("odd", ["activation", "within maps"])
def test_other_constants_are_refused_where_scaling_changes_more(odd):
    source = CAFFE
    if odd == "activation":
        source = dataclasses.replace(source, activation="tanh")
    else:
        source = with_conv(source, 0, post_ops=("activation", Norm(), WithinMapNorm(), Pool()))
    assert not irreconcilable(source, source)
    (difference,) = irreconcilable(source, changed(source, Norm, "other", k=5.0))[:1]
    assert "conv1: other constants of normalisation" in difference


def test_of_the_packages_variants_only_two_share_weights():
    pairs = [
        (a.name, b.name)
        for a in VARIANTS.values()
        for b in VARIANTS.values()
        if a is not b and not irreconcilable(a, b)
    ]
    assert pairs == [("paper", "slides"), ("slides", "paper")]


def test_excluded_layers_are_left_alone():
    source, target = NARROW["caffe"], CHANGES["all"](NARROW["caffe"])
    arrays = random_arrays(source)
    some = {name: arrays[name] for name in ("conv1", "conv2", "fc6", "fc7")}
    whole, partly = (reconcile(each, source, target) for each in (arrays, some))
    assert_equal(partly, {name: whole[name] for name in some})


def test_the_formula_of_normalisation():
    # x (k + α x²)^-β with another k and α, by the scale that `reconcile` gives conv1 and conv2.
    source, target = CAFFE, changed(CAFFE, Norm, k=2.0, alpha=7e-4)
    arrays = random_arrays(NARROW["caffe"])
    result = reconcile(arrays, source, target)
    scale = result["conv1"].kernel.flat[0] / arrays["conv1"].kernel.flat[0]
    # conv2 scales its input back, and its own output as conv1 does.
    after = scale / (result["conv2"].kernel.flat[0] / arrays["conv2"].kernel.flat[0])
    for x in (0.5, 3.0, 200.0):
        before = x * (1 + 1e-4 / 5 * x**2) ** -0.75
        then = scale * x * (2 + 7e-4 / 5 * (scale * x) ** 2) ** -0.75
        assert math.isclose(then / after, before, rel_tol=1e-5)


def test_shapes_say_which_variants_fit():
    assert fitting_variants(random_arrays(VARIANTS["tiny"], classes=7)) == ("tiny",)
    assert fitting_variants(random_arrays(NARROW["caffe"])) == ()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda a: {n: v for n, v in a.items() if n != "fc7"}, "holds no fc7"),
        (lambda a: {**a, "fc9": a["fc8"]}, "holds fc9, which caffe does not have"),
        (lambda a: {**a, "conv2": a["conv3"]}, r"holds conv2 of shape .*; the network's has \("),
    ],
)
def test_missing_left_over_and_wrong_arrays_are_named(change, message):
    variant = NARROW["caffe"]
    found = WeightFile("a.npy", "test", change(random_arrays(variant)))
    shapes = {name: layer.shape for name, layer in random_arrays(variant).items()}
    with pytest.raises(UserError, match=f"a.npy {message}.*fits no variant"):
        arrays_for(found, variant, shapes)


def test_an_excluded_layer_that_is_not_there_is_named():
    variant = NARROW["caffe"]
    found = WeightFile("a.npy", "test", random_arrays(variant))
    with pytest.raises(UserError, match="There is no layer fc9. Expected conv1, .*fc8"):
        arrays_for(found, variant, {}, ("fc9",))
