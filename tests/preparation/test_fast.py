import io

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.preparation import fast
from tests.preparation.pictures import decode, encode, photo, psnr

BOX = (0.0, 0.0, 375.0, 375.0)


def test_without_its_libraries_it_declines(monkeypatch):
    monkeypatch.setattr(fast, "simplejpeg", None)
    assert fast.prepare_jpeg(encode(photo()), (500, 375), BOX, 256, 90) is None
    assert fast.libraries() == {}


def test_it_does_what_pillow_does():
    pytest.importorskip("simplejpeg")
    pytest.importorskip("cykooz_resizer")
    encoded = encode(photo())
    jpeg = fast.prepare_jpeg(encoded, (500, 375), BOX, 256, 100)
    image = Image.open(io.BytesIO(encoded))
    square = np.asarray(image.resize((256, 256), Image.Resampling.BILINEAR, box=BOX))
    assert psnr(decode(jpeg), square) > 40
    tables = [
        Image.open(io.BytesIO(data)).quantization for data in (jpeg, encode(photo(), quality=100))
    ]
    assert tables[0] == tables[1]
    assert set(fast.libraries()) == {"simplejpeg", "cykooz.resizer"}


def test_what_it_cannot_read_is_left_to_pillow():
    pytest.importorskip("simplejpeg")
    pytest.importorskip("cykooz_resizer")
    encoded = encode(photo())
    assert fast.prepare_jpeg(encoded[:5000], (500, 375), BOX, 256, 90) is None
    assert fast.prepare_jpeg(b"no JPEG", (500, 375), BOX, 256, 90) is None
    assert fast.prepare_jpeg(encoded, (400, 300), BOX, 256, 90) is None  # a size that there is not
