import json
import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.serving import rest
from alexnet_tf.serving.rest import RequestError
from tools.server_process import b64

FILES = tf.TensorSpec([None], tf.string, "image_bytes")
PIXELS = tf.TensorSpec([None, 1, 2, 3], tf.uint8, "images")
DEEP = []
for _ in range(100_000):  # deeper than Python's recursion limit
    DEEP = [DEEP]
PIXEL_ROW = [[[[1, 2, 3], [4, 5, 255]]]]


@pytest.mark.parametrize(
    "values, rows",
    [
        ({"instances": [b64(b"\xff\x00"), "plain"]}, True),
        ({"instances": [{"b64": "/w\nA"}, "plain"]}, True),  # neither padding nor a single line
        ({"instances": [{"image_bytes": b64(b"\xff\x00")}, {"image_bytes": "plain"}]}, True),
        ({"inputs": [b64(b"\xff\x00"), "plain"]}, False),
        ({"inputs": {"image_bytes": [b64(b"\xff\x00"), "plain"]}}, False),
    ],
)
def test_files_come_in_rows_or_columns_named_or_not(values, rows):
    batch, in_rows = rest.parse_predict(values, FILES, 9)
    assert (batch.tolist(), in_rows) == ([b"\xff\x00", b"plain"], rows)


def test_files_of_one_length_stay_one_dimensional():
    batch, _ = rest.parse_predict({"instances": ["ab", "cd"]}, FILES, 9)
    assert batch.shape == (2,)


def test_pixels_come_as_nested_lists():
    batch, _ = rest.parse_predict({"inputs": PIXEL_ROW}, PIXELS, 9)
    assert (batch.dtype, batch.tolist()) == (np.uint8, PIXEL_ROW)


@pytest.mark.parametrize(
    "values, argument, complaint",
    [
        ({}, FILES, "neither"),
        ({"instances": [], "inputs": []}, FILES, "both"),
        ({"instances": {}}, FILES, "to be a list"),
        ({"instances": []}, FILES, "at least one"),
        ({"instances": ["a", {"image_bytes": "b"}]}, FILES, '"image_bytes", or none'),
        ({"instances": [DEEP]}, FILES, "Received: list"),
        ({"inputs": b64(b"x")}, FILES, "to be a list"),
        ({"instances": [{"other": 1}]}, FILES, "only \"image_bytes\". Received: .'other'"),
        ({"instances": [{"b64": "?"}]}, FILES, "base64"),
        ({"instances": [{"b64": 5}]}, FILES, 'Expected {"b64"'),
        ({"instances": [5]}, FILES, "Received: 5"),
        ({"instances": ["\ud800"]}, FILES, "base64"),
        ({"inputs": [[[[1, 2, 3], [4, 5]]]]}, PIXELS, "per image. Received: list"),
        ({"inputs": [[[[1, 2, 3]]]]}, PIXELS, r"Received: int, \[1, 1, 3\]"),
        ({"inputs": [[[[1, 2, 3], [4, 5, 256]]]]}, PIXELS, "Received: 1 to 256"),
        ({"inputs": [[[[1, 2, 3], [4, 5, -1]]]]}, PIXELS, "Received: -1 to 5"),
        ({"inputs": [[[[1, 2, 3], [4, 5, 6.5]]]]}, PIXELS, "whole numbers"),
        ({"inputs": [[[[1, 2, 3], [4, 5, 10**30]]]]}, PIXELS, "to 255. Received: 1 to 10000"),
        ({"inputs": [[[[1, 2, 3], [4, 5, True]]]]}, PIXELS, "whole numbers"),
        ({"inputs": [[[[1, 2, 3], [4, 5, "6"]]]]}, PIXELS, "whole numbers"),
        ({"inputs": [["a"]]}, PIXELS, "whole numbers"),
    ],
)
def test_wrong_values_are_named(values, argument, complaint):
    with pytest.raises(RequestError, match=complaint) as error:
        rest.parse_predict(values, argument, 9)
    assert error.value.status == 400


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b"1", b"[" * 100_000, b'{"a":' * 20_000, b"9" * 10_000]
)
def test_a_body_that_is_no_json_object_is_refused(body):
    with pytest.raises(RequestError, match="Expected .*JSON"):
        rest.parse_body(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [NaN]}',
        b'{"instances": [-Infinity]}',
        b'{"instances": ["a"], "instances": ["b"]}',
        b'{"examples": [{"image/encoded": "a", "image/encoded": "b"}]}',
        b'{"instances": [{"b64": "", "b64": ""}]}',
    ],
)
def test_a_body_that_another_parser_understands_differently_is_refused(body):
    with pytest.raises(RequestError, match="Expected JSON. Received: ") as error:
        rest.parse_body(body)
    assert error.value.status == 400


@pytest.mark.parametrize("part", ["[],", "1,", "{},", '"ab",', '{"":[[]]},', '[["a"]],'])
def test_a_body_that_would_be_many_times_as_large_in_memory_is_not_parsed(part):
    body = b'{"instances": [' + part.encode() * (2**24 // len(part)) + b"1]}"
    tracemalloc.start()
    with pytest.raises(RequestError, match="too large: at most [0-9,]+ ") as error:
        rest.parse_body(body)
    assert error.value.status == 413
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_numbers_beside_a_long_text_take_no_memory():
    """NumPy's strings are all as long as the longest one."""
    values = {"inputs": [["x" * 2**22], *[[0]] * 10_000]}
    tracemalloc.start()
    with pytest.raises(RequestError, match="whole numbers"):
        rest.parse_predict(values, PIXELS, 20_000)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_base64_with_spaces_takes_no_memory():
    text = "QU JD " * 200_000
    tracemalloc.start()
    batch, _ = rest.parse_predict({"instances": [{"b64": text}]}, FILES, 1)
    assert batch[0] == b"ABC" * 200_000
    assert tracemalloc.get_traced_memory()[1] < 4 * len(text)
    tracemalloc.stop()


def test_too_many_images_are_refused_before_they_are_decoded():
    for values in ({"instances": ["?"] * 4}, {"inputs": [{"b64": "?"}] * 4}):
        with pytest.raises(RequestError, match="at most 3 images") as error:
            rest.parse_predict(values, FILES, 3)
        assert error.value.status == 413
    with pytest.raises(RequestError, match="at most 3 images") as error:
        rest.parse_classify({"examples": [{"image/encoded": {"b64": "?"}}] * 4}, 3)
    assert error.value.status == 413


def test_examples_have_features_of_all_kinds_and_share_a_context():
    values = {
        "context": {"source": "camera", "size": [3, 4], "image/encoded": b64(b"common")},
        "examples": [
            *({"image/encoded": b64(b"\x00")}, {"image/encoded": [b64(b"list")]}),
            *({"size": 2.5, "flag": True, "sizes": [1, 2.5]}, {"image/encoded": 5}),
            *({"image/encoded": [b64(b"two"), "images"]}, {"image/encoded": []}),
        ],
    }
    assert rest.parse_classify(values, 9) == [b"\x00", b"list", b"common", b"", b"", b""]


def test_a_context_is_decoded_once():
    image = b64(bytes(2**20))
    tracemalloc.start()
    images = rest.parse_classify({"context": {"image/encoded": image}, "examples": [{}] * 64}, 64)
    assert len(images) == 64 and len(images[63]) == 2**20
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"examples": {}},
        {"examples": [3]},
        {"examples": []},
        {"examples": [{"a": DEEP}]},
        {"examples": [{}], "context": []},
        {"examples": [{"a": 2**70}]},
        {"examples": [{"a": [1.5, 10**400]}]},
        {"examples": [{"a": -(10**400)}]},
        {"examples": [{"a": [1.5, float("inf")]}]},
        {"examples": [{"a": 1e39}]},
        {"examples": [{}], "context": {"a": [0.5, 10**400]}},
        {"examples": [{"a": "\ud800"}]},
        {"examples": [{"a": {"c": 1}}]},
        {"examples": [{"a": [1, "b"]}]},
        {"examples": [{"\ud800": 1}]},
    ],
)
def test_wrong_examples_are_refused(values):
    with pytest.raises(RequestError, match="Expected"):
        rest.parse_classify(values, 9)


def test_answers_have_tensorflow_servings_format():
    answer = {
        "classes": np.array([[b"a", "ö".encode()], [b"c", b"d"]], object),
        "scores": np.array([[0.75, 0.25], [0.5, 0.5]], np.float32),
    }
    row = {"classes": ["a", "ö"], "scores": [0.75, 0.25]}
    assert rest.format_predictions(answer, rows=True)["predictions"][0] == row
    columns = rest.format_predictions(answer, rows=False)["outputs"]
    assert columns["scores"] == [[0.75, 0.25], [0.5, 0.5]]
    assert rest.format_classifications(answer) == {
        "results": [[["a", 0.75], ["ö", 0.25]], [["c", 0.5], ["d", 0.5]]]
    }


def test_a_single_output_has_no_name_and_bytes_are_base64():
    answer = {"thumb_bytes": np.array([b"\xff"], object)}
    assert rest.format_predictions(answer, rows=True) == {"predictions": [b64(b"\xff")]}
    assert rest.format_predictions(answer, rows=False) == {"outputs": [b64(b"\xff")]}
    json.dumps(rest.format_predictions(answer, rows=True))
