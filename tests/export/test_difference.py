import numpy as np
import pytest

from pretrainjax.errors import UserError
from pretrainjax.export.difference import largest_difference


def test_the_largest_counts_and_is_told():
  ours = np.array([[1.0, -20.0], [3.0, 4.0]], np.float32)
  theirs = ours + np.float32([[0.0, 0.01], [-0.005, 0.0]])
  found = largest_difference("texts", ours, theirs, tolerance=1e-3)
  assert found == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("wrong", [0.03, np.nan, np.inf])
def test_more_is_an_error_and_so_is_no_number(wrong):
  ours = np.array([1.0, -20.0])
  with pytest.raises(UserError, match="of texts, outputs up to 2.00e[+]01 differ by"):
    largest_difference("texts", ours, ours + np.array([wrong, 0.0]), tolerance=1e-3)


def test_small_outputs_are_held_to_one():
  assert largest_difference("x", np.zeros(2), np.full(2, 9e-4), tolerance=1e-3) == 9e-4
