"""Every format there and back, and the older forms of each, built by hand."""

import dataclasses
import pickle
import struct

import keras
import numpy as np
import pytest

from alexnet_tf.applications import AlexNet
from alexnet_tf.models.spec import Norm
from alexnet_tf.models.variants import CAFFE, CAFFENET, ONE_WEIRD_TRICK
from alexnet_tf.system.errors import UserError
from alexnet_tf.weights.arrays import to_channels_first
from alexnet_tf.weights.caffe import deploy_prototxt, read_mean
from alexnet_tf.weights.files import read_weights, write_weights
from alexnet_tf.weights.keras_files import write_model
from alexnet_tf.weights.network import arrays_of
from alexnet_tf.weights.torch_files import TORCHVISION, state_dict
from tests.weights import by_hand
from tests.weights.narrow import CLASSES, NARROW, assert_equal, random_arrays

ARRAYS = {name: random_arrays(variant) for name, variant in NARROW.items()}
KERNELS = to_channels_first(ARRAYS["caffe"])
TORCH = state_dict(ARRAYS["one_weird_trick"], NARROW["one_weird_trick"])


@pytest.mark.parametrize(
    "name, suffix",
    [
        ("caffe", ".caffemodel"),
        ("caffenet", ".caffemodel"),
        ("one_weird_trick", ".caffemodel"),
        ("caffe", ".npy"),
        *((name, ".safetensors") for name in NARROW),
    ],
)
def test_files_of_other_programs_round_trip(tmp_path, name, suffix):
    path = tmp_path / f"weights{suffix}"
    write_weights(path, ARRAYS[name], NARROW[name])
    found = read_weights(path)
    assert_equal(found.arrays, ARRAYS[name])
    if name != "one_weird_trick" or suffix == ".safetensors":
        assert [variant.name for variant in found.conventions] == [name]


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".weights.h5"])
def test_files_of_keras_round_trip(tmp_path, suffix):
    model = AlexNet("tiny", CLASSES)
    write_model(str(tmp_path / f"weights{suffix}"), model)
    found = read_weights(tmp_path / f"weights{suffix}")
    assert_equal(found.arrays, arrays_of(model))
    assert [variant.name for variant in found.conventions] == ["tiny"]
    assert [path.name for path in tmp_path.iterdir()] == [f"weights{suffix}"]


def test_a_compiled_model_round_trips_without_its_optimizer(tmp_path):
    model = AlexNet("tiny", CLASSES)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.optimizer.build(model.trainable_variables)
    for suffix in (".keras", ".h5"):
        write_model(str(tmp_path / f"weights{suffix}"), model)
        assert_equal(read_weights(tmp_path / f"weights{suffix}").arrays, arrays_of(model))


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("form", ["V1, old blobs", "V1", "new", "weights only"])
def test_caffe_models_of_every_age(tmp_path, form, double):
    blob = by_hand.old_blob if "old" in form else by_hand.blob
    layer = by_hand.v1_layer if "V1" in form else by_hand.layer
    content = by_hand.field(1, b"AlexNet")
    for name, arrays in KERNELS.items():
        kind = "Convolution" if name.startswith("conv") else "InnerProduct"
        content += layer(name, kind, [blob(array, double) for array in arrays])
        if name == "conv1" and form != "weights only":
            content += layer("norm1", "LRN") + layer("pool1", "Pooling")
    (tmp_path / "old.caffemodel").write_bytes(content)
    found = read_weights(tmp_path / "old.caffemodel")
    assert_equal(found.arrays, ARRAYS["caffe"])
    names = [variant.name for variant in found.conventions]
    assert names == (["caffe", "caffenet"] if form == "weights only" else ["caffe"])


def test_a_caffe_model_says_how_it_normalises(tmp_path):
    content = b""
    for name, arrays in KERNELS.items():
        content += by_hand.layer(name, "Any", [by_hand.blob(array) for array in arrays])
        if name in ("conv1", "conv2"):
            content += by_hand.layer("pool", "Pooling")
            content += by_hand.layer("norm", "LRN", extra=by_hand.lrn(5e-4, 2))
    (tmp_path / "a.caffemodel").write_bytes(content)
    (found,) = read_weights(tmp_path / "a.caffemodel").conventions
    norm = Norm(size=5, k=2.0, alpha=5e-4, beta=0.75, divide_by_size=True)
    assert found.name == CAFFENET.name
    assert [conv.post_ops[-1] for conv in found.convs[:2]] == [norm, norm]


@pytest.mark.parametrize("alpha", [0, -1, float("nan"), float("inf")])
def test_normalisation_that_is_none_is_refused(tmp_path, alpha):
    content = by_hand.layer("pool", "Pooling")
    content += by_hand.layer("norm", "LRN", extra=by_hand.lrn(alpha))
    for name, arrays in KERNELS.items():
        content += by_hand.layer(name, "Any", [by_hand.blob(array) for array in arrays])
    (tmp_path / "a.caffemodel").write_bytes(content)
    with pytest.raises(UserError, match="response normalisation with α = .* must be positive"):
        read_weights(tmp_path / "a.caffemodel")


def test_the_prototxt_has_the_parameters_of_caffes_own():
    text = deploy_prototxt(CAFFE, random_arrays(NARROW["caffe"]))
    expected = (
        'name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param '
        "{ num_output: 96 kernel_size: 11 stride: 4 pad: 0 group: 1 }",
        'name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" lrn_param '
        "{ local_size: 5 alpha: 0.0001 beta: 0.75 k: 1.0 }",
        'name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1" pooling_param '
        "{ pool: MAX kernel_size: 3 stride: 2 }",
        "{ num_output: 256 kernel_size: 5 stride: 1 pad: 2 group: 2 }",
        'name: "drop6" type: "Dropout" bottom: "fc6" top: "fc6"',
        'name: "fc8" type: "InnerProduct" bottom: "fc7" top: "fc8" inner_product_param '
        "{ num_output: 10 }",
    )
    for part in expected:
        assert part in text


@pytest.mark.parametrize("suffix", [".caffemodel", ".npy"])
def test_a_format_that_cannot_hold_a_network_says_why(tmp_path, suffix):
    path = tmp_path / f"paper{suffix}"
    with pytest.raises(UserError, match="Caffe cannot pad conv1|paper differs: conv1") as error:
        write_weights(path, ARRAYS["paper"], NARROW["paper"])
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["binaryproto", "npy", "npy of one"])
def test_a_mean_image_becomes_rgb(tmp_path, form):
    bgr = np.float32(np.arange(3 * 4 * 5).reshape(3, 4, 5))
    path = str(tmp_path / f"mean.{form.split()[0]}")
    if form == "binaryproto":
        (tmp_path / "mean.binaryproto").write_bytes(by_hand.old_blob(bgr))
    else:
        np.save(path, bgr[None] if "one" in form else bgr)
    mean = read_mean(path)
    assert mean.shape == (4, 5, 3)
    assert mean[0, 0].tolist() == [40, 20, 0]  # R was the third of BGR
    assert mean[1, 2].tolist() == [47, 27, 7]


def test_what_is_no_mean_image_is_refused(tmp_path):
    np.save(tmp_path / "mean.npy", np.zeros((4, 5, 3)))
    with pytest.raises(UserError, match=r"no mean image: expected \[3, height, width\], got"):
        read_mean(str(tmp_path / "mean.npy"))


@pytest.mark.parametrize("multiarray", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_bvlc_alexnet_npy_of_python_2(tmp_path, multiarray):
    layers = {name: (layer.kernel, layer.bias) for name, layer in ARRAYS["caffe"].items()}
    content = by_hand.python2_npy(layers, multiarray)
    (tmp_path / "bvlc_alexnet.npy").write_bytes(content)
    found = read_weights(tmp_path / "bvlc_alexnet.npy")
    assert_equal(dict(sorted(found.arrays.items())), ARRAYS["caffe"])
    assert found.conventions == (CAFFE,)


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("form", ["lists", "dictionaries", "float64", "big-endian, Fortran"])
def test_npy_of_every_protocol(tmp_path, protocol, form):
    layers = {}
    for name, layer in ARRAYS["caffe"].items():
        pair = [layer.kernel, layer.bias]
        if form == "float64":
            pair = [np.float64(array) for array in pair]
        elif "big" in form:
            pair = [np.asarray(array, ">f4", order="F") for array in pair]
        layers[name] = pair
        if form == "dictionaries":
            layers[name] = {"weights": pair[0], "biases": pair[1]}
    holder = np.empty((), object)
    holder[()] = layers
    path = tmp_path / "bvlc_alexnet.npy"
    path.write_bytes(by_hand.object_npy(pickle.dumps(holder, protocol)))
    assert_equal(read_weights(path).arrays, ARRAYS["caffe"])


@pytest.mark.parametrize("make", [by_hand.pth, by_hand.legacy_pth, by_hand.tar_pth])
def test_state_dictionaries_of_every_age(tmp_path, make):
    (tmp_path / "alexnet.pth").write_bytes(make(TORCH))
    found = read_weights(tmp_path / "alexnet.pth")
    assert_equal(found.arrays, ARRAYS["one_weird_trick"])
    assert found.conventions == (ONE_WEIRD_TRICK,)


def test_state_dictionaries_as_training_scripts_save_them(tmp_path):
    named = {f"module.{name}": array.astype(np.float64) for name, array in TORCH.items()}
    keys = {name: str(i) for i, name in enumerate(named)}
    state = by_hand.torch_state(
        {n: by_hand.torch_tensor(keys[n], a.shape, "DoubleStorage") for n, a in named.items()}
    )
    whole = b"\x80\x02}(" + by_hand.text("epoch") + by_hand.number(90)
    whole += by_hand.text("state_dict") + state[2:-1] + b"u."
    content = by_hand.zip_pth(whole, {keys[n]: a.tobytes() for n, a in named.items()})
    (tmp_path / "checkpoint.pt").write_bytes(content)
    assert_equal(read_weights(tmp_path / "checkpoint.pt").arrays, ARRAYS["one_weird_trick"])


def test_views_of_storages_are_refused_rather_than_read_wrongly(tmp_path):
    view = by_hand.tuple_of(by_hand.text("v"), by_hand.number(4), by_hand.number(2))
    tensor = by_hand.torch_tensor("0", (2,), view=view)
    start = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    content = b"".join(pickle.dumps(each, 2) for each in start)
    content += by_hand.torch_state({"conv1.weight": tensor}) + pickle.dumps(["0"], 2)
    (tmp_path / "a.pth").write_bytes(content + struct.pack("<q2f", 2, 1, 2))
    with pytest.raises(UserError, match="its storages are parts of others"):
        read_weights(tmp_path / "a.pth")


def test_torchvisions_names_and_shapes():
    assert list(TORCH)[:2] == ["features.0.weight", "features.0.bias"]
    assert {name.rsplit(".", 1)[0] for name in TORCH} == set(TORCHVISION.values())
    assert TORCH["features.0.weight"].shape == (8, 3, 11, 11)
    assert TORCH["classifier.6.weight"].shape == (CLASSES, 24)
    assert all(array.flags.c_contiguous for array in TORCH.values())
    own = state_dict(ARRAYS["paper"], NARROW["paper"])
    assert list(own)[-2:] == ["fc8.weight", "fc8.bias"]


def test_writing_npy_reconciles_constants_of_normalisation(tmp_path):
    def with_k(conv):
        ops = (
            dataclasses.replace(op, k=2.0) if isinstance(op, Norm) else op for op in conv.post_ops
        )
        return dataclasses.replace(conv, post_ops=tuple(ops))

    other = dataclasses.replace(
        NARROW["caffe"], convs=tuple(map(with_k, NARROW["caffe"].convs)), name="k2"
    )
    write_weights(tmp_path / "a.npy", ARRAYS["caffe"], other)
    kernel = read_weights(tmp_path / "a.npy").arrays["conv1"].kernel
    np.testing.assert_allclose(kernel, ARRAYS["caffe"]["conv1"].kernel * 0.5**0.5, rtol=1e-6)
