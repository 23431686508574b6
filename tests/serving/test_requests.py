"""Request bodies to inference requests."""

import json

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.serving.limits import Limits
from alexnet_tf.serving.requests import RequestParser
from alexnet_tf.serving.rest import RequestError
from tests.serving.servable import make_picture, make_scan_bomb
from tools.server_process import b64


@pytest.fixture(scope="module")
def parser(loaded):
    return RequestParser(loaded, Limits(max_pixels=40_000))


def example(*images, **features):
    made = tf.train.Example()
    if images:
        made.features.feature["image/encoded"].bytes_list.value.extend(images)
    for name, value in features.items():
        made.features.feature[name].int64_list.value.append(value)
    return made.SerializeToString()


def body(**values):
    return json.dumps(values).encode()


def test_an_expensive_image_is_emptied_in_every_format(parser, classifier):
    good, bomb = make_picture(0), make_scan_bomb(icc=True)
    asked = [
        parser.predict(body(instances=[b64(bomb), b64(good)])),
        parser.predict(body(inputs=[b64(bomb), b64(good)], signature_name="ten_view")),
    ]
    for request in asked:
        assert request.batch.tolist() == [b"", good]
        assert request.pixels == 90 * 80
    assert parser.explain(bomb).batch.tolist() == [b""]
    examples = [{"image/encoded": b64(image)} for image in (bomb, good)]
    asked = [
        parser.classify(body(examples=examples, signature_name="classify")),
        parser.predict(
            body(instances=[b64(example(bomb)), b64(example(good))], signature_name="classify")
        ),
    ]
    for request in asked:
        assert request.batch.tolist() == [example(b""), example(good)]
        assert request.pixels == 90 * 80


def test_an_example_has_one_image_and_no_other_feature(parser):
    good = make_picture(0)
    strange = [example(good, good), example(), b"\xff\xff", example(good, other=1)]
    request = parser.predict(
        body(instances=[b64(each) for each in strange], signature_name="classify")
    )
    assert request.batch.tolist() == [*[example(b"")] * 3, example(good)]


def test_the_pixels_of_a_request_are_limited(parser):
    pictures = [b64(make_picture(seed, size=(100, 100))) for seed in range(4)]
    assert parser.predict(body(instances=pictures)).pixels == 40_000
    for ask, values in (
        (parser.predict, {"instances": [*pictures, b64(make_picture(9))]}),
        (
            parser.classify,
            {
                "examples": [{"image/encoded": each} for each in [*pictures, pictures[0]]],
                "signature_name": "classify",
            },
        ),
    ):
        with pytest.raises(RequestError, match="at most 40,000 pixels in one request") as error:
            ask(body(**values))
        assert error.value.status == 413


def test_the_images_of_a_request_are_limited_in_bytes_once_a_context_is_expanded(loaded):
    parser = RequestParser(loaded, Limits(max_request_bytes=2**16))
    shared = {"signature_name": "classify", "context": {"image/encoded": b64(bytes(2**13))}}
    assert len(parser.classify(body(**shared, examples=[{}] * 8)).batch) == 8
    with pytest.raises(RequestError, match="at most 65,536 bytes in one request") as error:
        parser.classify(body(**shared, examples=[{}] * 9))
    assert error.value.status == 413


def test_decoded_images_are_passed_on(parser):
    squares = np.zeros((2, 72, 72, 3), int).tolist()
    request = parser.predict(body(instances=squares, signature_name="images"))
    assert (request.batch.shape, request.pixels) == ((2, 72, 72, 3), 0)


@pytest.mark.parametrize("name", [None, [], 0, False, ["classify"], "x"])
def test_an_unknown_signature_is_refused(parser, name):
    for ask, values in (
        (parser.predict, {"instances": [b64(b"")]}),
        (parser.classify, {"examples": [{}]}),
    ):
        with pytest.raises(RequestError, match='Expected "signature_name" to be one of.*classify'):
            ask(body(**values, signature_name=name))


@pytest.mark.parametrize("named", [{}, {"signature_name": ""}])
def test_the_default_signature_is_tensorflow_servings(parser, named):
    assert parser.predict(body(instances=[b64(b"")], **named)).signature == "serving_default"
    with pytest.raises(RequestError, match="one of classify. Received: 'serving_default'"):
        parser.classify(body(examples=[{}], **named))
