"""Nearest neighbours against all distances computed by NumPy; the index on disk."""

import faiss
import numpy as np
import pytest

from alexnet_tf.figures.search import Neighbors, precision
from alexnet_tf.system.errors import UserError

POINTS = np.random.default_rng(0).normal(size=(60, 7)).astype(np.float32)


def all_distances():
    return np.linalg.norm(POINTS[:, None] - POINTS[None], axis=-1)


def test_neighbors_are_those_of_all_distances():
    distances, places = Neighbors(POINTS).search_others(np.arange(60), 4)
    expected = all_distances()
    np.fill_diagonal(expected, np.inf)
    np.testing.assert_array_equal(places, np.argsort(expected, axis=1)[:, :4])
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :4], rtol=1e-3)


def test_of_twins_each_finds_the_others_and_not_itself():
    twins = np.repeat(POINTS[:2], 3, axis=0)
    distances, places = Neighbors(twins).search_others(np.arange(6), 2)
    assert (distances == 0).all()
    for i, found in enumerate(places):
        assert i not in found and set(found) < set(range(i // 3 * 3, i // 3 * 3 + 3))
    # More twins than are asked for: a query may not be among its own nearest at all.
    _, places = Neighbors(np.zeros((9, 2), np.float32)).search_others(np.arange(9), 3)
    assert places.shape == (9, 3)
    assert all(i not in found for i, found in enumerate(places))


def test_there_are_no_more_neighbors_than_others():
    assert Neighbors(POINTS[:3]).search_others(np.arange(3), 10)[1].shape == (3, 2)


def test_precision_by_hand():
    features = np.array([[0], [1], [2], [10], [11.5], [13.1]], np.float32)
    labels = np.array([0, 0, 1, 1, 1, 0])
    # Two nearest: {1, 2}, {0, 2} in this order, {1, 0}, {4, 5}, {3, 5}, {4, 3}.
    assert precision(features, labels, 2) == pytest.approx((1 + 1 + 0 + 1 + 1 + 0) / 12)


def test_the_index_is_saved_and_found_again(tmp_path):
    Neighbors(POINTS).save(tmp_path, labels=np.arange(60))
    loaded = Neighbors.load(tmp_path)
    np.testing.assert_array_equal(loaded.features, POINTS)
    for one, other in zip(
        loaded.search(POINTS, 3), Neighbors(POINTS).search(POINTS, 3), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    with np.load(tmp_path / "features.npz") as arrays:
        np.testing.assert_array_equal(arrays["labels"], np.arange(60))


@pytest.mark.parametrize("name", ["features.npz", "features.faiss"])
@pytest.mark.parametrize("what", ["missing", "empty", "half", "rubbish"])
def test_a_damaged_index_is_an_error(tmp_path, name, what):
    Neighbors(POINTS).save(tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    path.unlink()
    if what != "missing":
        path.write_bytes(
            {"empty": b"", "half": whole[: len(whole) // 2], "rubbish": b"x" * 99}[what]
        )
    with pytest.raises(UserError, match="features.npz and features.faiss in .* cannot be read"):
        Neighbors.load(tmp_path)


def test_an_index_of_other_features_is_an_error(tmp_path):
    Neighbors(POINTS).save(tmp_path)
    index = (tmp_path / "features.faiss").read_bytes()
    Neighbors(POINTS[:9]).save(tmp_path)
    (tmp_path / "features.faiss").write_bytes(index)
    with pytest.raises(UserError, match=r"do not match: \(60, 7\) and \(9, 7\)"):
        Neighbors.load(tmp_path)


def test_an_index_that_names_a_file_is_not_opened(tmp_path):
    """faiss would open the file for writing."""
    features = np.random.default_rng(0).random((100, 4), np.float32)
    Neighbors(features).save(tmp_path)
    quantizer = faiss.IndexFlatL2(4)
    index = faiss.IndexIVFFlat(quantizer, 4, 1)
    index.train(features)
    named = tmp_path / "named"
    lists = faiss.OnDiskInvertedLists(1, index.code_size, str(named))
    index.replace_invlists(lists)
    index.add(features)
    (tmp_path / "features.faiss").write_bytes(faiss.serialize_index(index).tobytes())
    named.unlink()
    with pytest.raises(UserError, match="holds an index of another type"):
        Neighbors.load(tmp_path)
    assert not named.exists()
