"""Files that are damaged, or made to do harm: refused in one line, and nothing is run."""

import io
import os
import pickle
import struct
import tarfile
import zipfile

import h5py
import numpy as np
import pytest

from alexnet_tf.applications import AlexNet
from alexnet_tf.system.errors import UserError
from alexnet_tf.weights.files import read_weights
from alexnet_tf.weights.keras_files import write_model
from alexnet_tf.weights.torch_files import state_dict
from tests.weights import by_hand
from tests.weights.narrow import NARROW, random_arrays
from tools.attack_weights import mutate, originals

TORCH = state_dict(random_arrays(NARROW["one_weird_trick"]), NARROW["one_weird_trick"])


def refused(path, content, message=""):
    """Writes a file, and returns the one line by which it is refused."""
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read_weights(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    assert len(str(error.value)) < 700
    return str(error.value)


COMMAND = by_hand.tuple_of(by_hand.text("touch MARKER"))


def nested(make, depth=60):
    """A value that holds another twice, and so on: 2^60 in all."""
    content = b")" if make == "tuple" else b"]"
    for _ in range(depth):
        content += b"q\x00h\x00\x86" if make == "tuple" else b"q\x00](h\x00h\x00e"
    return content


PICKLES = {
    "os.system": by_hand.name("os", "system") + COMMAND + b"R.",
    "posix.system": by_hand.name("posix", "system") + COMMAND + b"R.",
    "eval": by_hand.name("builtins", "eval") + COMMAND + b"R.",
    "eval of Python 2": by_hand.name("__builtin__", "eval") + COMMAND + b"R.",
    "getattr": by_hand.name("builtins", "getattr") + b".",
    "torch.load": by_hand.name("torch.storage", "_load_from_bytes") + COMMAND + b"R.",
    "runstring": by_hand.name("numpy.testing._private.utils", "runstring") + COMMAND + b"R.",
    "dotted": by_hand.name("numpy", "ndarray.__class__") + b".",
    "dotted module": by_hand.name("numpy.core.multiarray._reconstruct", "__globals__") + b".",
    "STACK_GLOBAL": by_hand.text("os") + by_hand.text("system") + b"\x93" + COMMAND + b"R.",
    "STACK_GLOBAL from memo": (
        by_hand.text("os") + b"q\x07" + by_hand.text("system") + b"q\x08h\x07h\x08\x93."
    ),
    "STACK_GLOBAL of tuples": b"))\x93.",
    "STACK_GLOBAL of nothing": b"\x93.",
    "INST": b"(" + by_hand.text("touch MARKER") + b"ios\nsystem\n.",
    "OBJ": b"(" + by_hand.name("os", "system") + by_hand.text("touch MARKER") + b"o.",
    "NEWOBJ": by_hand.name("numpy", "dtype") + b")\x81.",
    "EXT1": b"\x82\x01.",
    "a call of text": by_hand.text("os.system") + COMMAND + b"R.",
    "a call by a list": by_hand.name("_codecs", "encode") + b"]R.",
    "BUILD of a function": (
        by_hand.name("_codecs", "encode") + b"N}(" + by_hand.text("__defaults__") + b")u\x86b."
    ),
    "BUILD of a dtype": (
        by_hand.name("numpy", "dtype") + by_hand.tuple_of(by_hand.text("f4")) + b"R"
        b"}(" + by_hand.text("__class__") + b")ub."
    ),
    "BUILD of a tensor": (
        by_hand.torch_tensor("0", (1,)) + b"}(" + by_hand.text("array") + b")ub."
    ),
    "codecs": (
        by_hand.name("_codecs", "encode")
        + by_hand.tuple_of(by_hand.text("a"), by_hand.text("unicode_escape"))
        + b"R."
    ),
    "object dtype": (by_hand.name("numpy", "dtype") + by_hand.tuple_of(by_hand.text("V8")) + b"R."),
    "dtype of nested lists": by_hand.name("numpy", "dtype") + nested("list") + b"\x85R.",
    "persistent id of nested tuples": nested("tuple") + b"Q.",
    "nested lists": nested("list") + b".",
    "nested tuples as a key": b"}" + nested("tuple") + b"Ns.",
    "a dictionary in itself": b"}q\x00" + by_hand.text("conv1") + b"h\x00s.",
    "deep": b"]" * 100_000 + b"a" * 99_999 + b".",
    "memo": b"]r\xff\xff\xff\x7f.",
    "too many instructions": b"N" * 200_001 + b".",
    "no such memo": b"h\x05.",
    "marks": b"(" * 1000 + b".",
    "only marks": b"t" + b".",
    "long bytes": b"\x8e" + struct.pack("<Q", 1 << 60) + b"a.",
    "long text": b"\x8d" + struct.pack("<Q", 1 << 62) + b"a.",
    "long integer": b"\x8b" + struct.pack("<i", 1 << 30) + b"1.",
    "negative length": b"T" + struct.pack("<i", -5) + b"a.",
    "digits": b"I" + b"9" * 10_000 + b"\n.",
    "no end": b"]",
    "empty": b"",
    "escapes": by_hand.name("os\x1b[2J", "sys\x9btem") + b".",
}


@pytest.mark.parametrize("form", ["npy", "pth", "legacy.pth", "tar.pth"])
@pytest.mark.parametrize("case", PICKLES)
def test_pickles(tmp_path, monkeypatch, case, form):
    monkeypatch.chdir(tmp_path)
    content = b"\x80\x02" + PICKLES[case]
    if form == "npy":
        content = by_hand.object_npy(content)
    elif form == "pth":
        content = by_hand.zip_pth(content, {"0": bytes(4)})
    elif form == "tar.pth":
        content = by_hand.tar({"storages": content, "tensors": content, "pickle": content})
    message = refused(tmp_path / f"a.{form}", content)
    assert message.isprintable()
    assert not os.path.exists("MARKER")
    if "system" in case or "eval" in case:
        assert "it asks for" in message


def test_reading_leaves_the_stand_ins_as_they_are(tmp_path):
    """After all those files a good one is read as before."""
    for number, content in enumerate(PICKLES.values()):
        path = tmp_path / f"{number}.pth"
        refused(path, by_hand.zip_pth(b"\x80\x02" + content, {}))
    (tmp_path / "good.pth").write_bytes(by_hand.pth(TORCH))
    read_weights(tmp_path / "good.pth")


def npy(header):
    header = header.encode("latin-1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


NPY = {
    "32 GiB": "{'descr': '<f4', 'fortran_order': False, 'shape': (8589934592,), }\n",
    "huge": "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9), }\n",
    "code": "__import__('os').system('touch MARKER')\n",
    "code as a value": "{'descr': exec('1'), 'fortran_order': False, 'shape': ()}\n",
    "deep": "(" * 5000 + ")" * 5000 + "\n",
    "minus": "-" * 9000 + "1\n",
    "fields": "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }\n",
    "no shape": "{'descr': '<f4', 'fortran_order': False}\n",
    "negative": "{'descr': '|O', 'fortran_order': False, 'shape': (-1,), }\n",
}


@pytest.mark.parametrize("case", NPY)
def test_npy_headers(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    refused(tmp_path / "a.npy", npy(NPY[case]))
    assert not os.path.exists("MARKER")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"\x93NUMPY\x09\x00aa", b"PK\x05\x06"])
def test_what_is_no_npy(tmp_path, content):
    refused(tmp_path / "a.npy", content, "a.npy")


def test_an_npy_that_shares_one_array_a_thousand_times(tmp_path):
    array = by_hand.python2_array(np.zeros(1_000_000, np.float32))
    content = b"\x80\x02" + array + b"q\x00](" + b"h\x00" * 1000 + b"e."
    refused(tmp_path / "a.npy", by_hand.object_npy(content), "more bytes than an AlexNet has")


LENGTHS = {
    "longer than the file": by_hand.varint(2 << 3 | 2) + by_hand.varint(1 << 40) + b"a",
    "longer than its message": by_hand.field(2, by_hand.varint(6 << 3 | 2) + b"\x7fa"),
    "endless number": b"\x10" + b"\xff" * 20,
    "million layers": by_hand.field(2, b"") * 1_000_000,
    "million new layers": by_hand.field(100, b"") * 500_000,
    "million parts of data": by_hand.v1_layer("conv1", "ReLU", [by_hand.field(5, b"") * 500_000]),
    "million dimensions": by_hand.field(
        100, by_hand.field(7, by_hand.field(7, by_hand.field(1, b"\x01" * 500_000)))
    ),
    "million unknown fields": by_hand.field(77, b"") * 200_000,
    "a group": b"\x0b\x0c",
    "no layer": by_hand.field(1, b"AlexNet"),
    "nothing": b"",
    "text": b"name: 'AlexNet'\nlayer { }",
    "V0": by_hand.field(2, by_hand.field(1, by_hand.field(1, b"conv1"))),
}


@pytest.mark.parametrize("case", LENGTHS)
def test_protocol_buffers(tmp_path, case):
    refused(tmp_path / "a.caffemodel", LENGTHS[case])


@pytest.mark.parametrize("shape", [(1 << 35,), (0,), (1 << 62, 4), (8, 3, 11, 12), (-1, 3)])
def test_blobs_that_lie_about_their_shape(tmp_path, shape):
    kernel = np.zeros((8, 3, 11, 11), np.float32)
    dims = b"".join(by_hand.varint(n % (1 << 64)) for n in shape)
    blob = by_hand.field(7, by_hand.field(1, dims)) + by_hand.field(5, kernel.tobytes())
    bias = by_hand.blob(np.zeros(8, np.float32))
    content = by_hand.layer("conv1", "Convolution", [blob, bias])
    for name in ("conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"):
        content += by_hand.layer(name, "Convolution", [by_hand.blob(kernel), bias])
    refused(tmp_path / "a.caffemodel", content, "conv1 claims shape .* and holds 11,616 bytes")


def test_a_vgg_caffemodel_is_named(tmp_path):
    content = b"".join(
        by_hand.layer(name, "Convolution", [by_hand.blob(np.ones(2, np.float32))] * 2)
        for name in ("conv1_1", "conv1_2", "conv2_1")
    )
    refused(tmp_path / "a.caffemodel", content, "no AlexNet: .* conv1_1, conv1_2, conv2_1. Expec")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_torch_file_of_another_network_is_named(tmp_path, suffix):
    named = {"layer1.0.conv1.weight": np.ones((2, 2, 1, 1), np.float32)}
    if suffix == "pth":
        content = by_hand.pth(named)
    else:
        import safetensors.numpy

        content = safetensors.numpy.save(named)
    refused(tmp_path / f"a.{suffix}", content, "no AlexNet: it has layer1.0.conv1.weight. Expect")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.pop("features.3.bias"), "features.3.bias missing"),
        (lambda t: t.update({"features.99.bias": np.ones(1, np.float32)}), "left over"),
        (lambda t: t.update({"features.0.bias": np.ones(8, np.int64)}), "features.0.bias is of"),
        (lambda t: t.update({"features.0.weight": np.ones((0, 3, 1, 1), np.float32)}), "is empty"),
        (lambda t: t.update({"features.0.bias": np.full(8, np.nan, np.float32)}), "not finite"),
        (lambda t: t.update({"features.0.bias": np.ones(9, np.float32)}), "with a bias of shape"),
    ],
)
def test_arrays_that_do_not_belong_together(tmp_path, change, message):
    import safetensors.numpy

    named = dict(TORCH)
    change(named)
    refused(tmp_path / "a.safetensors", safetensors.numpy.save(named), message)


def test_zip_archives(tmp_path):
    pickled = by_hand.torch_state({"features.0.weight": by_hand.torch_tensor("0", (1 << 28,))})
    bomb = by_hand.zip_pth(pickled, {"0": bytes(1 << 24)}, zipfile.ZIP_DEFLATED)
    refused(tmp_path / "a.pth", bomb, "its members are compressed")
    refused(tmp_path / "b.pth", by_hand.zip_pth(pickled, {}), "its storage '0' is missing")
    refused(tmp_path / "c.pth", by_hand.zip_pth(pickled, {"0": bytes(4)}), "a storage claims 268,")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(1100):
            archive.writestr(str(number), b"")
    refused(tmp_path / "d.pth", file.getvalue(), "more than 1,000 members")
    refused(tmp_path / "d.keras", file.getvalue(), "more than 1,000 members")
    with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(1000))
    claimed = file.getvalue().replace(struct.pack("<I", 1000), struct.pack("<I", 855_638_016))
    refused(tmp_path / "e.keras", claimed, "claims 855,638,016 bytes")
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        archive.writestr("config.json", "{}")
    refused(tmp_path / "f.keras", file.getvalue(), "holds no model.weights.h5")


def test_tensors_that_reach_beyond_their_storage(tmp_path):
    for shape, numel, message in (
        ((9,), 8, "larger than its storage"),
        ((1 << 20, 1 << 20), 8, "larger than its storage"),
        ((1 << 41,), 8, "an array has no proper shape"),
    ):
        tensor = by_hand.torch_tensor("0", (1,), numel=numel)
        wide = b"".join(b"\x8a\x08" + struct.pack("<q", n) for n in shape)
        steps = b"".join(b"\x8a\x08" + struct.pack("<q", n) for n in by_hand.strides(shape))
        one = by_hand.numbers([1]) + by_hand.numbers([1])
        tensor = tensor.replace(one, b"(" + wide + b"t(" + steps + b"t")
        content = by_hand.zip_pth(by_hand.torch_state({"a": tensor}), {"0": bytes(32)})
        refused(tmp_path / "a.pth", content, message)


def test_a_sparse_tar_archive(tmp_path):
    info = tarfile.TarInfo("storages")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"77777777777\x00"  # the real size: 8 GiB of zeros
    header[148:156] = b"%06o\x00 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    refused(tmp_path / "a.pth", bytes(header) + bytes(1024), "storages is missing")


def h5(path, fill):
    """A .weights.h5 file with one layer, made by a function of its group."""
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/conv2d/vars")
        group.attrs["name"] = "conv1"
        group.create_dataset("1", data=np.zeros(8, np.float32))
        fill(group)
    return path.read_bytes()


def external_link(group):
    group["0"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(group):
    group["0"] = h5py.SoftLink("/layers/conv2d/vars/1")


def external_storage(group):
    shape = (8, 8)
    group.create_dataset("0", shape, np.float32, external=[("/etc/passwd", 0, 256)])


def virtual(group):
    layout = h5py.VirtualLayout((4, 8), np.float32)
    layout[:] = h5py.VirtualSource("other.h5", "data", (4, 8))
    group.create_virtual_dataset("0", layout)


def compressed(group):
    group.create_dataset("0", (1 << 17, 1 << 10, 8), np.float32, compression="gzip")


def never_written(group):
    group.create_dataset("0", (1 << 30, 8), np.float32)


def shared(group):
    layers = group.file["layers"]
    data = layers.create_dataset("big", data=np.zeros((1 << 20, 8), np.float32))
    for number in range(40):
        layers[f"again{number}"] = data


def many(group):
    for number in range(1010):
        group.file["layers"][f"again{number}"] = group


def circle(group):
    group["0"] = group.file["layers"]


def pointers(group):
    group.create_dataset("0", (4,), h5py.ref_dtype)


@pytest.mark.parametrize(
    "fill, message",
    [
        (external_link, "lies in another file"),
        (soft_link, "lies in another file, or is a link"),
        (external_storage, "lies in another file"),
        (virtual, "lies in another file"),
        (compressed, "is compressed, or has fewer values"),
        (never_written, "has fewer values than it claims"),
        (shared, "more bytes of numbers"),
        (many, "more than 1,000 groups"),
        (circle, "more than 1,000 groups"),
        (lambda group: None, "holds no layer with a kernel and a bias"),
        (lambda g: g.create_dataset("0", data=np.zeros((2, 9), "f4")), "with a bias of shape"),
        (lambda g: g.create_dataset("0", data=np.zeros((2, 8), "i4")), "not of floating point"),
        (lambda g: g.create_group("0"), "conv1 is"),
    ],
)
def test_hdf5(tmp_path, fill, message):
    refused(tmp_path / "a.weights.h5", h5(tmp_path / "made.h5", fill), message)
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        archive.writestr("model.weights.h5", (tmp_path / "made.h5").read_bytes())
        archive.writestr("config.json", "{}")
    refused(tmp_path / "a.keras", file.getvalue(), message)


@pytest.mark.parametrize("config", ["[]", "{}x", "[" * 100_000, '{"config": 3}'])
def test_an_old_h5_with_an_odd_configuration(tmp_path, config):
    path = tmp_path / "a.h5"
    write_model(str(path), AlexNet("tiny", 10))
    with h5py.File(path, "r+") as file:
        file.attrs.modify("model_config", config) if len(config) < 60_000 else None
        if len(config) >= 60_000:
            del file.attrs["model_config"]
            file.attrs["model_config"] = config[:60_000]
    refused(path, path.read_bytes(), "is no .h5 file, or it is damaged")


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "a.npy")
    (tmp_path / "b.npy").mkdir()
    (tmp_path / "c.txt").touch()
    for name, message in (
        ("a.npy", "no regular file"),
        ("b.npy", "no regular file"),
        ("c.txt", "Expected weights in a file of .caffemodel"),
        ("none.pth", "No such file"),
        ("a\0.pth", "null byte"),
    ):
        with pytest.raises(UserError, match=message):
            read_weights(tmp_path / name)
    with open(tmp_path / "large.pth", "wb") as file:
        file.truncate(801_000_000)
    with pytest.raises(UserError, match="801,000,000 bytes; an AlexNet has at most"):
        read_weights(tmp_path / "large.pth")


def test_seeded_mutations(tmp_path):
    """A small part of `python -m tools.attack_weights`."""
    rng = np.random.default_rng(7)
    outcomes = set()
    for name, content in originals(tmp_path).items():
        path = tmp_path / f"mutated-{name}"
        for _ in range(25):
            path.write_bytes(mutate(content, rng))
            try:
                read_weights(path)
                outcomes.add("read")
            except UserError as error:
                assert "\n" not in str(error)
                outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_pickles_of_pythons_own_attack(tmp_path):
    """What `__reduce__` makes, in every protocol."""

    class Attack:
        def __reduce__(self):
            return os.system, ("touch MARKER",)

    class Chain:
        def __reduce__(self):
            return getattr, (Attack(), "x")

    for protocol in range(6):
        for attack in (Attack(), Chain(), {"conv1": [Attack()]}):
            content = by_hand.object_npy(pickle.dumps(attack, protocol))
            refused(tmp_path / "a.npy", content, "it asks for|instruction")
