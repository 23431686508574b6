"""PyTorch and OpenCV compute the same from the written files, where they are installed.

The full networks are compared in docs/weights.md; here narrow ones, whose layers are the same.
"""

import numpy as np
import pytest

from alexnet_tf.applications import AlexNet
from alexnet_tf.weights.arrays import WeightFile
from alexnet_tf.weights.files import read_weights, write_weights
from alexnet_tf.weights.network import assign
from tests.weights.narrow import CLASSES, NARROW, assert_equal, images, random_arrays


def logits(name):
    """Arrays, normalised images NCHW, and logits of this package."""
    variant = NARROW[name]
    arrays = random_arrays(variant)
    model = AlexNet(variant, CLASSES)
    assign(model, variant, WeightFile("a", "test", arrays))
    x = images(variant)
    return arrays, np.ascontiguousarray(x.transpose(0, 3, 1, 2)), np.asarray(model(x))


def assert_agree(actual, expected):
    assert np.abs(actual - expected).max() <= 1e-4 * np.abs(expected).max()
    np.testing.assert_array_equal(*(np.argsort(x, 1)[:, -5:] for x in (actual, expected)))


@pytest.mark.parametrize("name", ["caffe", "caffenet"])
def test_opencv(tmp_path, name):
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("this OpenCV reads no Caffe models")
    arrays, x, expected = logits(name)
    write_weights(tmp_path / "a.caffemodel", arrays, NARROW[name])
    net = cv2.dnn.readNetFromCaffe(str(tmp_path / "a.prototxt"), str(tmp_path / "a.caffemodel"))
    net.setInput(x)
    assert_agree(net.forward("fc8"), expected)


def torchvision_alexnet(torch):
    """torchvision's `alexnet`, narrow."""
    nn = torch.nn

    class AlexNet(nn.Module):
        def __init__(self):
            super().__init__()
            a, b, c, d, e = (conv.filters for conv in NARROW["one_weird_trick"].convs)
            units = NARROW["one_weird_trick"].denses[0].units
            self.features = nn.Sequential(
                *(nn.Conv2d(3, a, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
                *(nn.Conv2d(a, b, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
                *(nn.Conv2d(b, c, 3, padding=1), nn.ReLU()),
                *(nn.Conv2d(c, d, 3, padding=1), nn.ReLU()),
                *(nn.Conv2d(d, e, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
            )
            self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
            self.classifier = nn.Sequential(
                *(nn.Dropout(), nn.Linear(e * 36, units), nn.ReLU()),
                *(nn.Dropout(), nn.Linear(units, units), nn.ReLU(), nn.Linear(units, CLASSES)),
            )

        def forward(self, x):
            return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))

    return AlexNet().eval()


def test_pytorch(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    arrays, x, expected = logits("one_weird_trick")
    for suffix in ("safetensors", "pth"):
        path = tmp_path / f"a.{suffix}"
        write_weights(path, arrays, NARROW["one_weird_trick"])
        state = load_file(path) if suffix == "safetensors" else torch.load(path)
        model = torchvision_alexnet(torch)
        model.load_state_dict(state, strict=True)
        with torch.no_grad():
            assert_agree(model(torch.tensor(x)).numpy(), expected)
        assert_equal(read_weights(path).arrays, arrays)
    for name, save in {
        "new.pth": {},
        "old.pth": {"_use_new_zipfile_serialization": False},
    }.items():
        torch.save(model.state_dict(), tmp_path / name, **save)
        assert_equal(read_weights(tmp_path / name).arrays, arrays)
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pth")
    with pytest.raises(ValueError, match="it asks for "):
        read_weights(tmp_path / "whole.pth")


def test_without_pytorch_pth_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ValueError, match="PyTorch, .* is not installed. Write .safetensors inst"):
        write_weights(tmp_path / "a.pth", random_arrays(NARROW["paper"]), NARROW["paper"])
