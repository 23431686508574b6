"""Every variant against what its sources say, written out a second time."""

import dataclasses
import math

import keras
import numpy as np
import pytest

import alexnet_tf
from alexnet_tf.applications import AlexNet
from alexnet_tf.layers import InvertedDropout, UnscaledDropout
from alexnet_tf.models.variants import variants

PAPER_ORDER = """
    pad1 conv1 relu1 norm1 pool1  conv2 relu2 norm2 pool2  conv3 relu3  conv4 relu4
    conv5 relu5 pool5  flatten  fc6 relu6 drop6  fc7 relu7 drop7  fc8
"""
CODE2012_ORDER = """
    pad1 conv1 norm1 pool1 relu1  conv2 relu2 norm2 within_map_norm2 pool2  conv3 relu3
    conv4 relu4  conv5 pool5 relu5  flatten  fc6 relu6 drop6  fc7 relu7 drop7  fc8
"""
SIX_CONVOLUTIONS_ORDER = """
    pad1 conv1 norm1 pool1 relu1  conv2 relu2 norm2 within_map_norm2 pool2  conv3 relu3
    conv4 relu4  conv5 pool5 relu5  conv6 relu6  flatten  fc7 relu7 drop7  fc8 relu8 drop8  fc9
"""
CAFFE_ORDER = """
    conv1 relu1 norm1 pool1  conv2 relu2 norm2 pool2  conv3 relu3  conv4 relu4
    conv5 relu5 pool5  flatten  fc6 relu6 drop6  fc7 relu7 drop7  fc8
"""
CAFFENET_ORDER = """
    conv1 relu1 pool1 norm1  conv2 relu2 pool2 norm2  conv3 relu3  conv4 relu4
    conv5 relu5 pool5  flatten  fc6 relu6 drop6  fc7 relu7 drop7  fc8
"""
ONE_WEIRD_TRICK_ORDER = """
    pad1 conv1 relu1 pool1  conv2 relu2 pool2  conv3 relu3  conv4 relu4
    conv5 relu5 pool5  flatten  drop6 fc6 relu6  drop7 fc7 relu7  fc8
"""

_DENSE_KERNELS = [(9216, 4096), (4096, 4096), (4096, 1000)]
GROUPED_KERNELS = [
    *[(11, 11, 3, 96), (5, 5, 48, 256), (3, 3, 256, 384), (3, 3, 192, 384), (3, 3, 192, 256)],
    *_DENSE_KERNELS,
]
SINGLE_KERNELS = [
    *[(11, 11, 3, 96), (5, 5, 96, 256), (3, 3, 256, 384), (3, 3, 384, 384), (3, 3, 384, 256)],
    *_DENSE_KERNELS,
]
ONE_WEIRD_TRICK_KERNELS = [
    *[(11, 11, 3, 64), (5, 5, 64, 192), (3, 3, 192, 384), (3, 3, 384, 256), (3, 3, 256, 256)],
    *_DENSE_KERNELS,
]


@dataclasses.dataclass
class Expected:
    parameters: int
    order: str
    kernels: list
    crop: int = 224
    sigmas: tuple = (0.01,) * 8  # conv1 to fc8
    biases: tuple = (0, 1, 0, 1, 1, 1, 1, 0)
    norm: tuple | None = (5, 2.0, 1e-4, 0.75, False, 2)  # size, k, α, β, divide_by_size, towers
    dropout: type = UnscaledDropout
    convolutions: int = 5

    @property
    def weighted(self):
        """Names of the layers with weights."""
        count = self.convolutions
        denses = [f"fc{n}" for n in range(count + 1, count + 4)]
        return [*(f"conv{n}" for n in range(1, count + 1)), *denses]


PAPER = Expected(60_965_224, PAPER_ORDER, GROUPED_KERNELS)
CAFFE = Expected(
    60_965_224,
    CAFFE_ORDER,
    GROUPED_KERNELS,
    crop=227,
    sigmas=(0.01, 0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.01),
    biases=(0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0),
    norm=(5, 1.0, 1e-4, 0.75, True, 1),
    dropout=InvertedDropout,
)
EXPECTED = {
    "paper": PAPER,
    "slides": dataclasses.replace(PAPER, biases=(0, 1, 1, 1, 1, 1, 1, 0)),
    "code2012": dataclasses.replace(
        PAPER,
        order=CODE2012_ORDER,
        sigmas=(0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01),
        norm=(5, 2.0, 1e-4, 0.75, True, 2),
    ),
    # 145's layers, and conv6 with 3 · 3 · 256 weights and a bias for each of its 256 kernels.
    "code2012_6conv": dataclasses.replace(
        PAPER,
        parameters=60_965_224 + (3 * 3 * 256 + 1) * 256,
        order=SIX_CONVOLUTIONS_ORDER,
        kernels=[*GROUPED_KERNELS[:5], (3, 3, 256, 256), *_DENSE_KERNELS],
        sigmas=(0.01, 0.01, 0.03, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01),
        biases=(0, 1, 0, 1, 1, 1, 1, 1, 0),
        norm=(5, 2.0, 1e-4, 0.75, True, 2),
        convolutions=6,
    ),
    "caffe": CAFFE,
    "caffenet": dataclasses.replace(CAFFE, order=CAFFENET_ORDER, biases=PAPER.biases),
    "single_gpu": dataclasses.replace(
        PAPER,
        parameters=62_378_344,
        kernels=SINGLE_KERNELS,
        norm=(5, 2.0, 1e-4, 0.75, False, 1),
    ),
    "one_weird_trick": Expected(
        61_100_840,
        ONE_WEIRD_TRICK_ORDER,
        ONE_WEIRD_TRICK_KERNELS,
        norm=None,
        dropout=InvertedDropout,
    ),
}
WEIGHTED = PAPER.weighted


@pytest.fixture(scope="module", params=EXPECTED)
def network(request):
    """A full-size model and what to expect of it; a quarter of a GB, so one at a time."""
    keras.utils.set_random_seed(0)
    yield AlexNet(request.param), EXPECTED[request.param]
    keras.backend.clear_session()


def weighted_layers(model, expected=PAPER):
    return [model.get_layer(name) for name in expected.weighted]


def test_every_variant_is_tested_here():
    assert set(variants()) == {*EXPECTED, "tiny", "tiny32"}
    assert alexnet_tf.variants() == variants()


def test_parameters(network):
    model, expected = network
    assert model.count_params() == expected.parameters
    layers = weighted_layers(model, expected)
    assert [tuple(layer.kernel.shape) for layer in layers] == expected.kernels


def test_order_of_layers(network):
    model, expected = network
    assert [layer.name for layer in model.layers] == ["image", *expected.order.split()]


def test_sizes_of_feature_maps(network):
    model, expected = network
    assert model.input_shape == (None, expected.crop, expected.crop, 3)
    count = expected.convolutions
    sides = [model.get_layer(f"conv{n}").output.shape[1:3] for n in range(1, count + 1)]
    assert sides == [(55, 55), (27, 27), (13, 13), (13, 13), (13, 13), (6, 6)][:count]
    assert model.get_layer("pool5").output.shape == (None, 6, 6, 256)
    assert model.output_shape == (None, 1000)


def test_initial_kernels(network):
    model, expected = network
    for layer, sigma in zip(weighted_layers(model, expected), expected.sigmas, strict=True):
        kernel = np.asarray(layer.kernel)
        if expected is EXPECTED["one_weird_trick"]:  # uniform within 1 / √fan-in
            limit = 1 / math.sqrt(np.prod(kernel.shape[:-1]))
            assert np.abs(kernel).max() == pytest.approx(limit, rel=1e-3)
            sigma = limit / math.sqrt(3)
        tolerance = 5 / math.sqrt(2 * kernel.size)  # five standard errors
        assert kernel.std() == pytest.approx(sigma, rel=tolerance), layer.name
        assert abs(kernel.mean()) < 5 * sigma / math.sqrt(kernel.size), layer.name


def test_initial_biases(network):
    model, expected = network
    for layer, constant in zip(weighted_layers(model, expected), expected.biases, strict=True):
        bias = np.asarray(layer.bias)
        if expected is EXPECTED["one_weird_trick"]:
            limit = 1 / math.sqrt(np.prod(layer.kernel.shape[:-1]))
            assert 0.8 * limit < np.abs(bias).max() <= limit, layer.name
        else:
            np.testing.assert_array_equal(bias, np.float32(constant), layer.name)


def test_response_normalisation(network):
    model, expected = network
    norms = [layer for layer in model.layers if layer.name.startswith("norm")]
    assert len(norms) == (0 if expected.norm is None else 2)
    for norm in norms:
        settings = (norm.size, norm.k, norm.alpha, norm.beta, norm.divide_by_size, norm.towers)
        assert settings == expected.norm
    for layer in model.layers:
        if layer.name.startswith("within_map_norm"):
            assert (layer.size, layer.k, layer.alpha, layer.beta) == (5, 1.0, 1e-3, 0.75)


def test_pooling_and_dropout(network):
    model, expected = network
    for name in ("pool1", "pool2", "pool5"):
        pool = model.get_layer(name)
        assert (pool.pool_size, pool.strides, pool.padding) == ((3, 3), (2, 2), "valid")
    for name in expected.weighted[-3:-1]:
        drop = model.get_layer(name.replace("fc", "drop"))
        assert type(drop) is expected.dropout
        assert drop.rate == 0.5


@pytest.mark.parametrize(
    "padding, variant", [((0, 3), "paper"), ((2, 2), "one_weird_trick")], ids=str
)
def test_conv1_hangs_over_the_edge(padding, variant):
    """224 pixels give 55 windows only with zeros; at which edges, the sources differ."""
    model = AlexNet(variant, include_top=False)
    kernel, bias = model.get_layer("conv1").get_weights()
    image = np.random.default_rng(0).normal(0, 50, (1, 224, 224, 3)).astype(np.float32)
    maps = keras.Model(model.input, model.get_layer("conv1").output)(image)[0]
    for row, column in [(0, 0), (0, 54), (54, 0), (54, 54), (20, 30)]:
        top, left = 4 * row - padding[0], 4 * column - padding[0]
        expected = bias.astype(np.float64)
        for y in range(11):
            for x in range(11):
                if 0 <= top + y < 224 and 0 <= left + x < 224:
                    expected += image[0, top + y, left + x].astype(np.float64) @ kernel[y, x]
        np.testing.assert_allclose(maps[row, column], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("variant, side", [("tiny", 64), ("tiny32", 28)])
def test_small_variants(variant, side):
    model = AlexNet(variant, classes=10)
    assert model.input_shape == (None, side, side, 3)
    assert model.output_shape == (None, 10)
    assert model.get_layer("pool5").output.shape[1:3] == (2, 2)
    assert [layer.name for layer in model.layers if layer.weights] == [*WEIGHTED]
    for layer in weighted_layers(model)[:-1]:  # σ after the maps that a kernel sees, not all
        kernel = np.asarray(layer.kernel)
        sigma = math.sqrt(2 / np.prod(kernel.shape[:-1]))
        assert kernel.std() == pytest.approx(sigma, rel=5 / math.sqrt(2 * kernel.size))
