"""The page in a real browser."""

import base64
import time

import numpy as np
import pytest

from tests.browser import all_text, complaints, loaded_images, open_browser
from tests.serving.servable import CLASSES, make_picture

pytest.importorskip("starlette", reason="needs the extra `serve`")

DROP = """
const [base64, name] = arguments;
const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
const dataTransfer = new DataTransfer();
dataTransfer.items.add(new File([bytes], name));
const options = { dataTransfer, bubbles: true, cancelable: true };
const drop = document.getElementById("drop");
return ["dragenter", "dragover", "drop"].map(
  (kind) => drop.dispatchEvent(new DragEvent(kind, options)));
"""


def drop(browser, content, name):
    """Drops a file on the page, which keeps the browser from opening it."""
    wait_for(lambda: browser.execute_script("return document.readyState") == "complete")
    opened = browser.execute_script(DROP, base64.b64encode(content).decode(), name)
    assert opened == [False, False, False]


def share(text):
    """A probability as the page writes it."""
    return float(text.removesuffix(" %")) / 100


@pytest.mark.slow
def test_the_page_explains_a_dropped_photograph(server, loaded, tmp_path):
    function = loaded.functions["look_inside"]
    answers = ((p, function(image_bytes=np.array([p]))) for p in map(make_picture, range(100)))
    markup = CLASSES.index("<b>&")
    photograph, views = next(  # which shows it as one of the five
        (picture, probabilities)
        for picture, answer in answers
        for probabilities in [answer["view_probabilities"].numpy()[0]]
        if markup in np.argsort(-probabilities.mean(axis=0))[:5]
    )
    text = tmp_path / "text.png"
    text.write_text("no picture")
    with open_browser() as browser:

        def texts(selector):
            return [each.text for each in browser.find_elements("css selector", selector)]

        browser.get(f"http://{server.address[0]}:{server.address[1]}/")
        drop(browser, photograph, "photograph.jpg")
        wait_for(lambda: loaded_images(browser) == 12)  # the square, ten views, the first layer
        mean = views.mean(axis=0)
        best = np.argsort(-mean, kind="stable")[:5]
        assert texts("#top .name") == [CLASSES[i] for i in best]  # as text, not as markup
        assert not browser.find_elements("css selector", "#result b")
        shares = [share(each) for each in texts("#top .probability")]
        np.testing.assert_allclose(shares, mean[best], atol=6e-4)
        meters = browser.find_elements("css selector", "#top meter")
        values = [float(meter.get_property("value")) for meter in meters]
        np.testing.assert_allclose(values, mean[best], atol=1e-5)
        pictures = browser.find_elements("css selector", "#views img")
        assert len({each.get_property("src") for each in pictures}) == 10
        captions = [each.rpartition(", ") for each in texts("#views figcaption")]
        assert [name for name, _, _ in captions] == [CLASSES[i] for i in views.argmax(axis=1)]
        shares = [share(each) for _, _, each in captions]
        np.testing.assert_allclose(shares, views.max(axis=1), atol=6e-4)
        assert not complaints(browser)
        browser.find_element("id", "file").send_keys(str(text))
        wait_for(lambda: "Expected a JPEG" in all_text(browser))
        assert not browser.find_element("id", "result").is_displayed()


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
