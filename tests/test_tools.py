import io
import re

import pytest
from PIL import Image

from alexnet_tf.data.shapes import jpeg
from tests import commands
from tests.folders import write_folder
from tools import benchmark_loop


def run(tool, *arguments):
    done = commands.run(f"tools.{tool}", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for index in range(8):
        picture = Image.open(io.BytesIO(jpeg(0, index))).resize((400 + 20 * index, 300))
        picture.save(folder / f"{index}.jpg")
    return folder


@pytest.mark.slow
def test_mutated_images_neither_crash_nor_hang(photos):
    printed = run("fuzz_decoding", f"--photos={photos}", "--images=400")
    assert printed.splitlines()[-1] == "no crash, no hang"
    for decoder in ("preparation", "square", "crop", "resized crop"):
        counts = re.findall(rf"^{decoder}: .* ([\d,]+)$", printed, re.MULTILINE)
        assert sum(map(int, counts)) == 400  # every image went through every decoder
        assert f"{decoder}: decoded" in printed and f"{decoder}: refused" in printed


def test_the_preparation_benchmark_compares_pixels(photos):
    printed = run("benchmark_preparation", f"--photos={photos}", "--rounds=1")
    lowest = dict(re.findall(r"^\| (\w+) .*, ([\d.]+) \|$", printed, re.MULTILINE))
    assert float(lowest["ours"]) > 35 and float(lowest["pillow_only"]) > 35


@pytest.mark.slow
def test_linear_baseline_reports_every_rate(tmp_path):
    write_folder(tmp_path)
    options = ("--dataset=folder", f"--data_dir={tmp_path}", "--epochs=1", "--batch_size=8")
    lines = run("linear_baseline", *options).splitlines()
    assert len(lines) == 6
    assert sum("validation" in line and "on 20 images" in line for line in lines) == 3


@pytest.mark.slow
def test_a_run_survives_kills_and_damaged_checkpoints():
    # Validated after 20 steps, which changes what a checkpoint holds.
    printed = run("kill_training", "--kills=3", "--seed=1", "--validate_every=0.04")
    assert printed.splitlines()[-1].startswith("3 kills, 1 damaged checkpoints, 36 steps: 0 unus")
    assert printed.splitlines()[-1].endswith("0 tensors differ")


def test_the_loop_benchmarks_rate_counts_steps_and_not_calls():
    """Calls of 1, 4, 15 and 2 steps: the first two are warm-up, 17 steps of 8 images take 4 s."""
    assert benchmark_loop.rate([(1, 9.0), (5, 10.0), (20, 13.5), (22, 14.0)], 8) == 34.0
    assert benchmark_loop.rate([(1, 9.0), (2, 10.0), (12, 15.0)], 8) == 16.0


@pytest.mark.slow
def test_the_loop_benchmark_compares_three_ways(tmp_path):
    write_folder(tmp_path)
    options = ("--dataset=folder", f"--data_dir={tmp_path}", "--rounds=1", "--steps=10")
    printed = run("benchmark_loop", *options, "--batch_size=8", "--variant=tiny")
    rows = re.findall(r"^\| (\w+) \| ([\d,.]+) \(.*\) \| ([\d.]*) \|$", printed, re.MULTILINE)
    assert [kind for kind, *_ in rows] == ["bare", "synthetic", "images"]
    assert all(float(rate.replace(",", "")) > 0 for _, rate, _ in rows)
    assert [share != "" for *_, share in rows] == [False, True, True]
