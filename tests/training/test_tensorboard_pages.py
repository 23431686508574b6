"""TensorBoard itself, in a real browser, on what a real run wrote."""

import time

import pytest

from alexnet_tf.training.run import train
from tests.browser import all_text, complaints, loaded_images, open_browser
from tests.folders import write_folder
from tests.tensorboard_server import serve_tensorboard
from tests.training.short_runs import options


@pytest.fixture(scope="module")
def logdir(tmp_path_factory):
    folder = write_folder(tmp_path_factory.mktemp("images"))
    model_dir = tmp_path_factory.mktemp("run")
    train(
        options(str(folder), str(model_dir), epochs=20.0, validate_every=10.0, profile=(3.0, 5.0))
    )
    return model_dir / "tensorboard"


@pytest.fixture(scope="module")
def address(logdir):
    with serve_tensorboard(logdir) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with open_browser() as browser:
        yield browser


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "words", "pictures"),
    [
        (
            "scalars",
            ["gradient_norm/conv1", "weight_norm", "waiting_share", "validation"],
            0,
        ),
        ("images", ["augmented_batch", "first_layer"], 2),
        ("text", ["flags", "--variant=tiny", "--learning_rate=0.005"], 0),
        ("hparams", ["learning_rate", "validation.top1_error", "8.0000"], 0),
    ],
)
def test_every_page_shows_what_the_run_wrote(browser, address, page, words, pictures):
    browser.get(f"{address}#{page}")
    browser.refresh()  # a change behind # alone loads nothing
    patience = time.monotonic() + 60
    while time.monotonic() < patience:
        text = all_text(browser)
        missing = [word for word in words if word not in text]
        if not missing and loaded_images(browser) >= pictures:
            break
        time.sleep(0.2)
    assert not missing, text
    assert loaded_images(browser) >= pictures
    assert not complaints(browser)


@pytest.mark.slow
def test_the_profile_is_where_tensorboard_looks_for_it(logdir):
    (profile,) = (logdir / "plugins" / "profile").glob("*/*.xplane.pb")
    recorded = profile.read_bytes()
    assert b"train_steps" in recorded
    assert b"step_num" in recorded  # by which the page tells steps apart
