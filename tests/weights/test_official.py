"""Official weights by name, from a file server on loopback."""

import dataclasses
import functools
import hashlib
import http.server
import pathlib
import threading

import pytest

from alexnet_tf.system.errors import UserError
from alexnet_tf.weights.official import OFFICIAL, download

CONTENT = b"weights" * 1000


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        self.server.requests += 1


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    (folder / "alexnet.pth").write_bytes(CONTENT)
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        serving.requests = 0
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.fixture
def official(server, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    url = f"http://127.0.0.1:{server.server_port}/alexnet.pth"
    return {
        name: dataclasses.replace(
            OFFICIAL[name],
            url=url,
            digest=hashlib.new(OFFICIAL[name].algorithm, CONTENT).hexdigest()[:length],
        )
        for name, length in (("caffe", 40), ("torchvision", 8))
    }


@pytest.mark.parametrize("name", ["caffe", "torchvision"])
def test_a_file_is_fetched_once(tmp_path, server, official, name):
    before = server.requests
    path = download(name, str(tmp_path), official)
    assert path == str(tmp_path / "models" / "alexnet.pth")
    assert pathlib.Path(path).read_bytes() == CONTENT
    assert download(name, str(tmp_path), official) == path
    assert server.requests == before + 1


def test_keras_home_is_where_downloads_are_kept(tmp_path, monkeypatch, official):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert download("caffe", official=official) == str(tmp_path / "models" / "alexnet.pth")


def test_another_digest_is_refused_whether_fetched_or_found(tmp_path, official):
    official["caffe"] = dataclasses.replace(official["caffe"], digest="0" * 40)
    for _ in range(2):
        with pytest.raises(
            UserError, match=r"alexnet.pth is not the published file: its sha1 is "
        ) as e:
            download("caffe", str(tmp_path), official)
        assert "expected 0000" in str(e.value) and "readme.md). Remove it" in str(e.value)
        assert "\n" not in str(e.value)


@pytest.mark.parametrize("kind", ["missing", "offline", "no such host"])
def test_without_the_file_one_line_says_where_to_put_it(tmp_path, official, kind):
    url = {
        "missing": official["caffe"].url.replace("alexnet", "other"),
        "offline": "http://127.0.0.1:9/other.pth",
        "no such host": "http://weights.invalid/other.pth",
    }[kind]
    official["caffe"] = dataclasses.replace(official["caffe"], url=url)
    with pytest.raises(UserError) as error:
        download("caffe", str(tmp_path), official)
    message = str(error.value)
    assert message.startswith(f"The weights caffe could not be fetched from {url} (")
    assert message.endswith(
        f"Download the file elsewhere and put it at {tmp_path}/models/other.pth"
    )
    assert "\n" not in message
    (tmp_path / "models").mkdir(exist_ok=True)
    (tmp_path / "models" / "other.pth").write_bytes(CONTENT)  # as it says
    assert download("caffe", str(tmp_path), official) == str(tmp_path / "models" / "other.pth")


def test_the_digests_have_the_published_lengths():
    lengths = {name: (each.algorithm, len(each.digest)) for name, each in OFFICIAL.items()}
    assert lengths == {
        "caffe": ("sha1", 40),
        "caffenet": ("sha1", 40),
        "torchvision": ("sha256", 8),
    }
    assert OFFICIAL["torchvision"].digest in OFFICIAL["torchvision"].url
