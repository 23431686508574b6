"""The benchmark: contestants take turns, ratios are right, and all networks compute the same."""

import importlib
import json
import re

import numpy as np
import pytest

from alexnet_tf.data.shapes import jpeg
from alexnet_tf.models.spec import WithinMapNorm
from alexnet_tf.models.variants import get_variant
from tests import commands
from tools.benchmark import inference, layers, report, training
from tools.benchmark.contestants import Contestant, Settings

ROW = re.compile(r"^\| (\w+): .*? \| ([\d,.]+) \(.*?\) \| ([\d.]*)", re.MULTILINE)


def benchmark(*arguments):
    done = commands.run("tools.benchmark", *arguments)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_contestants_take_turns_and_are_compared(tmp_path):
    json_file = tmp_path / "figures.json"
    code, printed, errors = benchmark(
        "train", "--variant=tiny", "--batch_size=4", "--steps=1", "--rounds=2", "--peers=keras",
        f"--json={json_file}",
    )  # fmt: skip
    assert code == 0, errors
    rows = {name: float(rate.replace(",", "")) for name, rate, _ in ROW.findall(printed)}
    assert list(rows) == ["ours", "keras", "gemm"]
    assert [ratio != "" for *_, ratio in ROW.findall(printed)] == [False, True, False]
    results = json.loads(json_file.read_text())["results"]
    for name, rate in rows.items():
        first, second = results[name]["rates"]
        assert rate == pytest.approx((first + second) / 2, abs=0.06)


@pytest.mark.slow
def test_readers_of_photographs_are_compared(tmp_path):
    for index in range(3):
        (tmp_path / f"{index}.jpg").write_bytes(jpeg(0, index))
    code, printed, errors = benchmark(
        "input", f"--photos={tmp_path}", "--batch_size=4", "--steps=1", "--rounds=1",
        "--peers=plain",
    )  # fmt: skip
    assert code == 0, errors
    assert [name for name, *_ in ROW.findall(printed)] == ["ours", "plain"]
    assert "3 JPEGs of 256×256 pixels" in printed


@pytest.mark.slow
def test_replicas_are_compared_with_one():
    code, printed, errors = benchmark(
        "scaling",
        "--variant=tiny",
        "--batch_size=4",
        "--steps=1",
        "--rounds=1",
        "--price=0.5",
        "--cores=2",
    )
    assert code == 0, errors
    rates = {name: float(rate.replace(",", "")) for name, rate, _ in ROW.findall(printed)}
    assert list(rates) == ["one", "replicas", "workers"]
    cores = int(re.search(r"^cores +(\d+) of", printed, re.MULTILINE)[1])
    share = float(re.search(r"^workers: (\d+)% of the ideal", printed, re.MULTILINE)[1])
    assert share == pytest.approx(100 * rates["workers"] / (cores * rates["one"]), abs=1)
    days, dollars = re.search(r": ([\d,.]+) days, ([\d,]+) dollars", printed).groups()
    assert float(days.replace(",", "")) == pytest.approx(
        1_281_167 * 90 / max(rates.values()) / 86_400, rel=0.02
    )
    assert float(dollars.replace(",", "")) > 0


def test_layers_run_forward_and_backward():
    for name, contestant in layers.contestants("paper").items():
        images = contestant.make(Settings("paper", 1, 1, (0,)))()
        assert images == 4, name


@pytest.mark.parametrize("variant", ["paper", "caffe", "one_weird_trick", "tiny", "tiny32"])
def test_keras_peer_has_as_many_parameters(variant):
    from alexnet_tf import AlexNet
    from tools.benchmark.peers.plain_keras import build

    variant = get_variant(variant)
    assert build(variant, 10).count_params() == AlexNet(variant, classes=10).count_params()


def test_ratios_are_of_the_same_round():
    contestants = {
        "ours": Contestant("us", None, 2.0),
        "theirs": Contestant("them", None, 2.0, against="ours"),
        "gone": Contestant("nobody", None, against="ours"),
    }
    results = {
        "ours": {"rates": [10.0, 20.0, 60.0], "memory": 1.0},
        "theirs": {"rates": [5.0, 20.0, 20.0], "memory": 2.0},
        "gone": {"missing": "No module named 'gone'"},
    }
    _, _, ours, theirs, gone = report.table(contestants, results, {"float32": 80.0})
    assert "20.0 (10.0 to 60.0) |  | 40 | 50% | 1.00" in ours
    assert "2.00 (1.00 to 3.00)" in theirs  # medians of rates would say 1.00
    assert "not measured: No module named 'gone'" in gone


def test_arithmetic_of_a_step():
    # One multiply-add is two operations; three passes, but no gradient of the image itself.
    conv1 = 11 * 11 * 3 * 96 * 55 * 55
    assert training.gigaflop_of("paper") == pytest.approx(
        (2 * 3 * 714_188_480 - 2 * conv1) / 1e9, rel=0.02
    )


@pytest.mark.parametrize("variant", ["paper", "caffe", "one_weird_trick", "tiny", "tiny32"])
@pytest.mark.parametrize(
    "library, make",
    [
        ("torch", lambda s: inference.pytorch(s, compiled=False, channels_last=False)),
        ("onnxruntime", inference.onnx_runtime),
        ("cv2", inference.opencv),
    ],
)
def test_peers_compute_what_we_compute(variant, library, make):
    pytest.importorskip(library)
    if library != "torch":
        pytest.importorskip("onnx")
    settings = Settings(variant, 3, 1, (0,))
    network, images = inference.ours(settings)
    expected = network(images)
    network, images = make(settings)
    np.testing.assert_allclose(network(images), expected, rtol=1e-3, atol=1e-4)


def test_an_operation_that_a_peer_lacks_is_an_error():
    variant = get_variant("code2012")
    assert any(isinstance(op, WithinMapNorm) for conv in variant.convs for op in conv.post_ops)
    build = importlib.import_module("tools.benchmark.peers.plain_keras").build
    with pytest.raises(NotImplementedError, match="WithinMapNorm"):
        build(variant, 10)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ([], "Expected one of train, inference, layers, input, scaling"),
        (["input"], "Expected --photos=DIR with photographs"),
        (["train", "--peers=caffe"], "Expected --peers among ours, .*Received: caffe"),
    ],
)
def test_mistakes_get_one_line(arguments, expected):
    code, _, errors = benchmark(*arguments)
    assert code == 1
    assert re.search(expected, errors) and len(errors.splitlines()) == 1
