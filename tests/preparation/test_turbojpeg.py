import io

import numpy as np
import pytest
from PIL import Image

from alexnet_tf.preparation import turbojpeg
from tests.preparation.pictures import decode, encode, photo, psnr

BOX = (0.0, 0.0, 375.0, 375.0)


def test_without_its_libraries_it_declines(monkeypatch):
    monkeypatch.setattr(turbojpeg, "simplejpeg", None)
    assert turbojpeg.prepare_jpeg(encode(photo()), (500, 375), BOX, 256, 90) is None
    assert turbojpeg.libraries() == {}


def test_it_does_what_pillow_does():
    pytest.importorskip("simplejpeg")
    pytest.importorskip("cykooz_resizer")
    encoded = encode(photo())
    jpeg = turbojpeg.prepare_jpeg(encoded, (500, 375), BOX, 256, 100)
    image = Image.open(io.BytesIO(encoded))
    square = np.asarray(image.resize((256, 256), Image.Resampling.BILINEAR, box=BOX))
    assert psnr(decode(jpeg), square) > 40
    tables = [
        Image.open(io.BytesIO(data)).quantization for data in (jpeg, encode(photo(), quality=100))
    ]
    assert tables[0] == tables[1]
    assert set(turbojpeg.libraries()) == {"simplejpeg", "cykooz.resizer"}


def test_it_complains_of_what_is_not_perfect():
    pytest.importorskip("simplejpeg")
    pytest.importorskip("cykooz_resizer")
    encoded = encode(photo())
    for damaged in (encoded[:5000], b"no JPEG", encoded[:5000] + encoded[-2:]):
        with pytest.raises(ValueError):
            turbojpeg.prepare_jpeg(damaged, (500, 375), BOX, 256, 90)
    with pytest.raises(ValueError, match="Expected"):  # a size that there is not
        turbojpeg.prepare_jpeg(encoded, (400, 300), BOX, 256, 90)
