import matplotlib.image
import numpy as np
import pytest

from pretrainjax.report.confusion import _largest, _percent, _shorten, confusion_png


@pytest.mark.parametrize("num_classes", [2, 10, 120, 451])
def test_any_number_of_classes_makes_a_picture(tmp_path, num_classes):
  rng = np.random.default_rng(0)
  confusion = rng.integers(0, 3, (num_classes, num_classes)) + 50 * np.eye(num_classes, dtype=int)
  path = tmp_path / "new" / "confusion.png"
  confusion_png(confusion, [f"class {i}" for i in range(num_classes)], path)
  picture = matplotlib.image.imread(path)
  assert picture.shape[1] > 500 and picture[..., :3].std() > 0.05
  assert [p.name for p in path.parent.iterdir()] == ["confusion.png"]


def test_a_perfect_and_an_empty_matrix_are_drawn(tmp_path):
  for size in (3, 40):
    confusion_png(5 * np.eye(size, dtype=int), (), tmp_path / "a.png")
    confusion_png(np.zeros((size, size), int), (), tmp_path / "a.png")


def test_names_must_fit(tmp_path):
  with pytest.raises(ValueError, match="class_names: found 2, expected 3"):
    confusion_png(np.eye(3, dtype=int), ("a", "b"), tmp_path / "a.png")


def test_the_largest_of_each_block_stays():
  shares = np.zeros((5, 5))
  shares[4, 1] = 0.7
  np.testing.assert_array_equal(_largest(shares, 2), [[0, 0, 0], [0, 0, 0], [0.7, 0, 0]])


@pytest.mark.parametrize(
  "share, text", [(0.004, "0.4"), (0.126, "13"), (0.994, "99.4"), (1.0, "100"), (0.9996, "100")]
)
def test_percent_is_short(share, text):
  assert _percent(share) == text


def test_long_names_keep_both_ends():
  assert _shorten("a rather long class name 7") == "a rather l..name 7"
  assert _shorten("bag") == "bag"
