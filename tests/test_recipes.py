"""The flagfiles of configs/, through the real flags, and the report that compares them."""

import dataclasses
import math
import re
import subprocess

import pytest

from alexnet_tf.flags import read_flagfile
from alexnet_tf.models.variants import get_variant, variants
from alexnet_tf.recipes.points import FIXED, NOT_SAID, NOTES, POINTS
from alexnet_tf.recipes.report import SOURCES, read_sources, report
from alexnet_tf.training.checkpoints import TrainState
from alexnet_tf.training.options import Options
from alexnet_tf.training.schedule import TrainSchedule
from tests.commands import ROOT, command

CONFIGS = ROOT / "configs"
RECIPES = ("paper", "code2012", "caffe", "one_weird_trick")


@pytest.fixture
def sources():
    return read_sources(CONFIGS, read_flagfile)


def report_of(variant, sources):
    """From the name of a point to what the run does, its followers, and what the others do."""
    file = next((file for name, file in SOURCES.values() if name == variant), "paper.flags")
    text = report((get_variant(variant), read_flagfile(CONFIGS / file)), sources)
    assert max(map(len, text.splitlines())) <= 100
    blocks = {}
    for line in text.splitlines()[2:]:
        if not line.startswith(" "):
            name, _, rest = line.partition(": ")
            blocks[name] = rest
        else:
            blocks[name] += " " + line.strip()
    return blocks


SHARED = {"epochs": 90.0, "validate_every": 1.0, "steps_per_execution": 20, "variant": None}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("shapes", {}),  # "what `python -m alexnet_tf.train` does without flags"
        (
            "paper",
            {
                **{**SHARED, "variant": "paper", "batch_size": 128, "decay_biases": True},
                **{"plateau_patience": 3, "plateau_reductions": 3},
            },
        ),
        (
            "code2012",
            {
                **{**SHARED, "variant": "code2012", "batch_size": 128, "epochs": 93.0},
                **{"decay_epochs": (22.0, 50.0, 77.0), "pca_noise_until": 67.0},
                **{"layer_rates": ("conv1/kernel:67:0.1", "conv1:71:0")},
                **{"bias_rate": 2.0, "bias_decay_epochs": (22.0,)},
            },
        ),
        (
            "finetune2012",
            {
                **{**SHARED, "variant": "code2012_6conv", "batch_size": 128, "epochs": 54.0},
                **{"learning_rate": 0.001, "decay_epochs": (21.0, 41.0), "pca_noise_until": 37.0},
                "layer_rates": (
                    *("conv1/kernel:0:0.1", "conv1/kernel:4:0.01", "conv1:6:0"),
                    *("fc9/kernel:0.24:10", "fc9/kernel:8:1", "conv6/bias:0:1.1"),
                ),
                **{"bias_rate": 20.0, "bias_decay_epochs": (1000.0,)},
            },
        ),
        (
            "caffe",
            {
                **{**SHARED, "variant": "caffe", "batch_size": 256, "epochs": 89.91802},
                **{"decay_epochs": (19.981782, 39.963564, 59.945346, 79.927128)},
                **{"bias_rate": 2.0},
            },
        ),
        (
            "one_weird_trick",
            {
                **{**SHARED, "variant": "one_weird_trick", "batch_size": 256},
                **{"weight_decay": 0.0001, "decay_biases": True, "decay_epochs": (30.0, 60.0)},
            },
        ),
    ],
)
def test_a_flagfile_gives_the_sources_options(name, changes):
    assert read_flagfile(CONFIGS / f"{name}.flags") == dataclasses.replace(Options(), **changes)


RATES_146 = {  # after epochs: of conv1, of conv2 to conv6 and the hidden layers, of the last layer
    0: (0.0001, 0.001, 0.001),
    1: (0.0001, 0.001, 0.01),
    5: (0.00001, 0.001, 0.01),
    7: (0.0, 0.001, 0.01),
    10: (0.0, 0.001, 0.001),
    30: (0.0, 0.0001, 0.0001),
    50: (0.0, 0.00001, 0.00001),
}


@pytest.mark.parametrize("epoch", RATES_146)
def test_fine_tuning_of_2012_has_the_rates_of_its_log(epoch):
    """Of kernels; biases have .02 all the time, conv6's .022."""
    options = read_flagfile(CONFIGS / "finetune2012.flags")
    schedule = TrainSchedule(options, 128 * 1000)
    rates = schedule.learning_rates(epoch * 1000, TrainState())

    def rate(path):
        factors = [m for p, m in rates.multipliers.items() if re.search(p, path)]
        return rates.learning_rate * math.prod(factors)

    kernels = tuple(rate(f"{layer}/kernel") for layer in ("conv1", "conv6", "fc9"))
    assert kernels == pytest.approx(RATES_146[epoch])
    assert rate("fc9/bias") == pytest.approx(0.02)
    assert rate("conv6/bias") == pytest.approx(0.022)
    assert rate("conv1/bias") == pytest.approx(0.02 if epoch < 6 else 0)


def test_every_flagfile_of_configs_can_be_read():
    files = sorted(CONFIGS.glob("*.flags"))
    assert len(files) >= 7
    for file in files:
        assert get_variant(read_flagfile(file).variant)


@pytest.mark.parametrize("variant", variants())
def test_every_variant_has_a_report(variant, sources):
    blocks = report_of(variant, sources)
    assert {"input", "layer 1", "normalisation", "learning rate", "mean"} <= blocks.keys()
    assert "momentum" not in blocks  # all agree on it


@pytest.mark.parametrize(
    ("variant", "point", "text"),
    [
        ("paper", "normalisation", "k=2, n=5, α=0.0001, β=0.75, inside each tower [paper, slides]"),
        (
            "paper",
            "normalisation",
            "(paper, slides: taken literally, across all maps; in the original code,",
        ),
        (
            "paper",
            "learning rate",
            "3 times [paper, slides] original code: 0.01, divided by 10 after",
        ),
        ("paper", "learning rate", "(paper, slides: the number of validations is not said; ours)"),
        (
            "paper",
            "learning rate",
            "(original code: our reading: its log says epochs 23, 51 and 78, counted",
        ),
        ("paper", "weight decay", "(paper, slides: the decay of biases is not said; ours)"),
        (
            "code2012",
            "learning rate of biases",
            "(original code: the start and the drop are inferred from layer-params-120-4gpu.cfg",
        ),
        (
            "paper",
            "resizing",
            "original code: not said; ours: shorter side to 256, then the central",
        ),
        ("paper", "resizing", "(paper, slides: the filter is not said; ours)"),
        ("paper", "resizing", "by INTER_AREA to smaller and by INTER_CUBIC to larger images, JPEG"),
        ("paper", "resizing", "(Caffe: by ImageMagick's -resize or by OpenCV's default filter)"),
        ("paper", "resizing", "(torchvision: Pillow's bilinear filter, no second JPEG)"),
        ("paper", "mean", "(paper, slides: the offset is not said; ours)"),
        ("code2012", "colour noise", "(original code: our reading: its log says epoch 68,"),
        ("code2012", "learning rates of layers", "its log says epochs 68 and 72, counted from 1"),
        ("paper", "colour noise", "slides: not said; ours: σ=0.1 times the eigenvalue"),
        (
            "tiny",
            "order of images",
            "shuffled in each epoch [torchvision] paper, slides: not said; ",
        ),
        (
            "tiny",
            "order of images",
            "original code: the same in each epoch: files in sequence Caffe",
        ),
        ("tiny", "order of images", "Caffe: the same in each epoch: shuffled once, when the"),
        ("slides", "initial biases", "(slides: taken literally, 1 in fc8 as well)"),
        ("caffe", "normalisation", "α=0.0001 divided by 5, β=0.75, across all maps [Caffe]"),
        ("paper", "initial biases", "slides: 0 in conv1, fc8; 1 in conv2, conv3"),
        ("code2012", "layer 1", "convolution, normalisation, pooling, ReLU [original code]"),
        ("code2012", "colour noise", "÷ 1.1, until epoch 67 [original code]"),
        ("caffe", "channels", "BGR [Caffe] paper, slides, original code, torchvision: RGB"),
        ("one_weird_trick", "dropout", "0.5 before fc6, before fc7"),
        (
            "code2012",
            "within-map normalisation",
            "5×5, k=1, α=0.001 divided by 25, β=0.75 [original code]",
        ),
        ("paper", "views at test", "paper, slides, original code: four corners, the centre"),
        ("caffe", "views at test", "--views=10 for the paper's ten [Caffe, torchvision]"),
        ("caffe", "update", "torchvision: v ← momentum · v + g + decay · w, w ← w - rate · v"),
        ("tiny", "feature maps", "[none of the sources]"),
        ("tiny", "kernels", "32, 64, 96, 96, 64 [none of the sources]"),
    ],
)
def test_the_report_names_who_is_followed(variant, point, text, sources):
    assert text in report_of(variant, sources)[point].replace("  [", " [")


# Every row of the comparison of sources that this project started from, and its points here.
DISAGREEMENTS = {
    "input": ["input"],
    "feature maps": ["feature maps"],
    "kernels": ["kernels", "towers"],
    "order": ["layer 1", "layer 2", "layer 5"],
    "response normalisation": ["normalisation", "within-map normalisation"],
    "initial values": ["σ of kernels", "initial biases"],
    "dropout": ["dropout"],
    "update": ["update", "momentum", "weight decay", "learning rate of biases"],
    "rate": ["learning rate", "learning rates of layers", "length"],
    "batch": ["batch"],
    "crop": ["crop"],
    "mean": ["mean"],
    "channel order": ["channels"],
    "colour noise": ["colour noise"],
    "order of images": ["order of images"],
    "ten views": ["views at test"],
    "resize": ["resizing"],
}


def test_what_a_source_does_not_say_names_sources_and_points_that_exist():
    assert NOT_SAID.keys() | NOTES.keys() <= SOURCES.keys()
    points = {point for unsaid in NOT_SAID.values() for point in unsaid}
    points |= {point for notes in NOTES.values() for point in notes}
    assert points <= {*POINTS, *FIXED}


def test_the_report_has_every_point_on_which_the_sources_disagree(sources):
    wanted = [point for points in DISAGREEMENTS.values() for point in points]
    assert sorted(wanted) == sorted([*POINTS, *FIXED])
    agreed = {"feature maps", "momentum"}  # by all sources: left out where the run agrees
    assert report_of("paper", sources).keys() == set(wanted) - agreed


def test_a_point_on_which_all_agree_is_left_out_only_if_the_run_agrees_too(sources):
    paper, options = get_variant("paper"), read_flagfile(CONFIGS / "paper.flags")
    changed = dataclasses.replace(options, momentum=0.5)
    assert "momentum: 0.5  [none of the sources]" in report((paper, changed), sources)
    assert POINTS["momentum"](paper, options) == "0.9"


@pytest.mark.parametrize("name", RECIPES)
def test_the_command_reports_and_trains_nothing(name, tmp_path):
    done = subprocess.run(
        command(
            "alexnet_tf.train", f"--flagfile=configs/{name}.flags", "--recipe_report",
            f"--model_dir={tmp_path / 'run'}",
        ),
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and f"--variant={name} does" in done.stdout
    assert not (tmp_path / "run").exists()


def test_the_report_works_away_from_the_clone(tmp_path):
    done = subprocess.run(
        command("alexnet_tf.train", "--recipe=paper", "--recipe_report"),
        cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "--variant=paper does" in done.stdout
