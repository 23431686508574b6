"""The commands as a user meets them: real processes, their output and their exit codes."""

import csv
import json
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from alexnet_tf.applications import load_model
from alexnet_tf.convert import convert
from alexnet_tf.weights.files import read_weights
from tests import commands
from tests.commands import ROOT
from tests.folders import write_folder

SMALL = ("--dataset=folder", "--batch_size=8", "--epochs=2", "--validate_every=1")


def command(name, *arguments):
    return commands.command(f"alexnet_tf.{name}", *arguments)


def run(name, *arguments):
    return commands.run(f"alexnet_tf.{name}", *arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """A model directory that the command made, and what the command printed."""
    model_dir = tmp_path_factory.mktemp("runs") / "tiny"
    done = run("train", *SMALL, f"--data_dir={folder}", f"--model_dir={model_dir}")
    assert done.returncode == 0, done.stderr
    return model_dir, done


def test_training_reports_and_leaves_everything_behind(trained):
    model_dir, done = trained
    assert re.search(r"validation top-1 \d+\.\d+%, top-5 \d+\.\d+% of 20 images", done.stdout)
    for expected in ("SavedModel", "checkpoints", "wall time", "Next:", "tensorboard --logdir"):
        assert expected in done.stdout
    assert (model_dir / "checkpoints" / "00000010").is_dir()
    assert list((model_dir / "tensorboard" / "train").glob("events*"))
    assert (model_dir / "saved_model" / "1" / "saved_model.pb").exists()


@pytest.mark.parametrize("checkpoint", ["best", "newest"])
def test_a_run_is_a_source_of_weights(trained, tmp_path, checkpoint):
    model_dir, _ = trained
    path = tmp_path / "weights.safetensors"
    said = convert(str(model_dir), str(path), checkpoint=checkpoint)
    assert said.startswith(f"{model_dir}/checkpoints/") and said.endswith("variant tiny")
    (step,) = re.findall(r"checkpoints/(\d+)", said)
    assert checkpoint == "best" or step == "00000010"
    arrays = read_weights(path).arrays
    assert list(arrays)[-1] == "fc8"
    if step == "00000010":  # beside the SavedModel, the run has written the network itself
        model = load_model(model_dir / "model.keras")
        for name, layer in arrays.items():
            np.testing.assert_array_equal(model.get_layer(name).kernel, layer.kernel)


def test_logs_hold_no_lines_but_ours(trained):
    _, done = trained
    for line in done.stderr.splitlines():
        assert re.match(r"(training|validation|statistics|looking at files): ", line), line
    assert "WARNING" not in done.stdout


def test_the_same_command_again_has_nothing_to_do(trained, folder):
    model_dir, first = trained
    again = run("train", *SMALL, f"--data_dir={folder}", f"--model_dir={model_dir}")
    assert again.returncode == 0, again.stderr
    assert "The run is complete" in again.stdout
    assert [path.name for path in (model_dir / "saved_model").iterdir()] == ["1"]
    assert "Resuming after step 10" in again.stdout
    result = r"validation top-1 .* images"
    assert re.search(result, again.stdout)[0] == re.search(result, first.stdout)[0]


@pytest.mark.slow
@pytest.mark.parametrize("views", [1, 10])
def test_evaluation_writes_json(trained, tmp_path, views):
    model_dir, _ = trained
    report = tmp_path / "result.json" if views == 1 else "-"
    done = run(
        "evaluate", f"--model_dir={model_dir}", f"--json={report}", f"--views={views}",
        "--batch_size=6", "--strategy=mirrored", "--logical_cpus=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout if report == "-" else report.read_text())
    assert "top-1 error" in (done.stderr if report == "-" else done.stdout)
    assert (result["examples"], result["views"]) == (20, views)
    assert (result["variant"], result["step"]) == ("tiny", 10)
    assert 0 <= result["top5_error"] <= result["top1_error"] <= 1
    assert (result["top1_error"] * 20) == pytest.approx(round(result["top1_error"] * 20))


@pytest.mark.slow
def test_evaluation_takes_a_validation_set_by_itself_of_some_of_the_classes(
    trained, folder, tmp_path
):
    for name in ("star", "disk"):
        shutil.copytree(folder / "val" / name, tmp_path / "val" / name)
    flags = ("--dataset=folder", f"--data_dir={tmp_path}", "--json=-", "--rows=0")
    done = run("evaluate", f"--model_dir={trained[0]}", *flags)
    assert done.returncode == 0, done.stderr
    images = {row["class"]: row["images"] for row in json.loads(done.stdout)["per_class"]}
    assert len(images) == 10 and images.pop("star") == images.pop("disk") == 2
    assert not any(images.values())


@pytest.mark.slow
def test_evaluation_is_the_same_on_devices_and_in_processes(trained, tmp_path):
    model_dir, _ = trained
    texts = []
    for name, launch in (("one", False), ("replicas", False), ("processes", True)):
        flags = [f"--model_dir={model_dir}", f"--csv={tmp_path / name}", "--batch_size=6"]
        flags += [f"--json={tmp_path / name}.json"]
        flags += ["--strategy=mirrored", "--logical_cpus=2"] if name == "replicas" else []
        if launch:
            done = run("launch", "--program=evaluate", "--processes=2", "--", *flags)
        else:
            done = run("evaluate", *flags)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("top-1 error ") == 2  # the result, and a table's heading
        rows = [line.split(",") for line in (tmp_path / name).read_text().splitlines()]
        assert len(rows) == 21
        texts.append([row[:5] for row in rows])
        json_text = json.loads((tmp_path / f"{name}.json").read_text())
        texts[-1].append((json_text["top1_error"], json_text["top5_error"], json_text["examples"]))
    assert texts[0] == texts[1] == texts[2]


@pytest.mark.slow
def test_different_models_are_averaged(trained, folder, tmp_path):
    other = tmp_path / "other"
    flags = (*SMALL, "--noexport", "--seed=1", f"--data_dir={folder}", f"--model_dir={other}")
    done = run("train", *flags)
    assert done.returncode == 0, done.stderr
    probabilities = []  # a dictionary of each image
    for name, models in (("one", trained[0]), ("two", other), ("both", f"{trained[0]},{other}")):
        table = tmp_path / name
        done = run("evaluate", f"--model_dir={models}", "--rows=0", f"--csv={table}")
        assert done.returncode == 0, done.stderr
        probabilities.append(
            [
                {row[f"guess{i}"]: float(row[f"probability{i}"]) for i in range(1, 6)}
                for row in csv.DictReader(table.open())
            ]
        )
    assert done.stdout.startswith("tiny+tiny, step 10")
    both = [max(row, key=row.get) for row in probabilities[2]]
    gaps = []
    for one, two, mean in zip(*probabilities, strict=True):
        for name in one.keys() & two.keys() & mean.keys():
            assert mean[name] == pytest.approx((one[name] + two[name]) / 2, abs=1e-6)
            gaps.append(abs(one[name] - two[name]))
    assert len(gaps) > 20 and max(gaps) > 1e-3
    asked = run("predict", f"--model_dir={trained[0]},{other}", "--json=-", folder / "val")
    predicted = [json.loads(line) for line in asked.stdout.splitlines()]
    assert sorted(row["classes"][0] for row in predicted) == sorted(both)


@pytest.mark.slow
def test_prediction_goes_through_folders_and_takes_a_saved_model(trained, folder, tmp_path):
    model_dir, _ = trained
    outputs = []
    for source in (f"--model_dir={model_dir}", f"--saved_model={model_dir}/saved_model"):
        target = tmp_path / f"{len(outputs)}.json"
        done = run("predict", source, f"--json={target}", folder / "val", tmp_path / "none.jpg")
        assert done.returncode == 1
        assert "cannot read" in done.stderr and "No such file" in done.stderr
        assert done.stdout.count("/val/") == 20
        outputs.append([json.loads(line) for line in target.read_text().splitlines()])
    assert len(outputs[0]) == 21
    assert outputs[0][-1]["reason"] == "No such file or directory"
    for one, other in zip(*outputs, strict=True):
        assert (one["path"], one["classes"]) == (other["path"], other["classes"])
        assert one["scores"] == pytest.approx(other["scores"], abs=1e-6)
    only = run("predict", f"--model_dir={model_dir}", "--json=-", folder / "val" / "ring")
    assert [json.loads(line)["classes"] for line in only.stdout.splitlines()]
    for flags, complaint in (
        ((), "Expected --model_dir or --saved_model. Received: neither"),
        ((f"--saved_model={tmp_path}",), "without saved_model.pb"),
        ((f"--model_dir={model_dir}", f"--json={tmp_path}"), "Is a directory"),
    ):
        done = run("predict", *flags, folder)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert complaint in done.stderr


@pytest.mark.slow
def test_prediction_names_bad_files_and_goes_on(trained, folder, tmp_path):
    model_dir, _ = trained
    text = tmp_path / "text.jpg"
    text.write_text("hello, world")
    photograph = next((folder / "val" / "ring").iterdir())
    done = run("predict", f"--model_dir={model_dir}", text, tmp_path / "none.png", photograph)
    assert done.returncode == 1
    assert f"cannot read {text}" in done.stderr
    assert f"cannot read {tmp_path / 'none.png'}" in done.stderr
    assert len(done.stderr.splitlines()) == 2
    lines = done.stdout.splitlines()
    assert lines[0] == str(photograph)
    shares = [float(line.split("%")[0]) for line in lines[1:6]]  # of five classes
    assert shares == sorted(shares, reverse=True)
    assert "classes" in lines[-1]  # those that the model knows
    good = run("predict", f"--model_dir={model_dir}", "--views=10", photograph)
    assert (good.returncode, good.stderr) == (0, "")


@pytest.mark.slow
def test_the_saved_model_gives_evaluations_answers_without_this_package(trained):
    done = commands.run("tools.check_saved_model", f"--model_dir={trained[0]}")
    assert done.returncode == 0, done.stdout + done.stderr
    for signature in ("serving_default", "ten_view"):
        assert f"{signature}: the same five classes on 20 of 20 images" in done.stdout


@pytest.mark.slow
def test_an_empty_folder_is_named_beside_a_good_file(trained, folder, tmp_path):
    photograph = next((folder / "val" / "ring").iterdir())
    done = run("predict", f"--model_dir={trained[0]}", tmp_path, photograph)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"cannot read {tmp_path}: a folder without images" in done.stderr
    assert done.stdout.startswith(f"{photograph}\n")


@pytest.mark.slow
def test_export_writes_the_next_version(trained, tmp_path):
    done = run("export", f"--model_dir={trained[0]}", f"--output={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "1" / "saved_model.pb").exists()
    again = run("export", f"--model_dir={trained[0]}", f"--output={tmp_path}", "--version=1")
    assert again.returncode == 1
    assert "does not exist yet" in again.stderr


@pytest.mark.slow
def test_ctrl_c_saves_and_the_same_command_goes_on(folder, tmp_path):
    arguments = (*SMALL, "--epochs=400", f"--data_dir={folder}", f"--model_dir={tmp_path}/run")
    process = subprocess.Popen(
        command("train", *arguments),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in process.stdout:
        if line.startswith("epoch 2,"):
            break
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    step = int(re.search(r"Stopped by SIGINT after step (\d+)", out)[1])
    assert step >= 10
    epochs = (step + 5) / 5
    more = run("train", *arguments, f"--epochs={epochs}", "--noexport")
    assert more.returncode == 0, more.stderr
    assert f"Resuming after step {step} " in more.stdout
