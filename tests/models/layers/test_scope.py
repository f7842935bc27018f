import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.models.layers.scope import Scope, mask_of, positions_of

SEGMENTS = jnp.array([[1, 1, 2, 2, 0], [1, 1, 1, 1, 2]])


def by_loops(scope: Scope, num: int) -> np.ndarray:
  mask = np.ones((2, 1, num, num), bool)
  for b, _, q, k in np.ndindex(mask.shape):
    if scope.causal and k > q:
      mask[b, 0, q, k] = False
    if scope.window is not None and abs(q - k) > scope.window:
      mask[b, 0, q, k] = False
    if scope.segments is not None and scope.segments[b, q] != scope.segments[b, k]:
      mask[b, 0, q, k] = False
    if scope.valid is not None and not scope.valid[b, k]:
      mask[b, 0, q, k] = False
  return mask


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [None, 1])
@pytest.mark.parametrize("segments", [None, SEGMENTS])
@pytest.mark.parametrize("valid", [None, SEGMENTS > 0])
def test_all_conditions_hold_together(causal, window, segments, valid):
  scope = Scope(causal=causal, window=window, segments=segments, valid=valid)
  mask = mask_of(scope, 5, 5)
  if scope.is_plain:
    assert mask is None
  else:
    np.testing.assert_array_equal(np.broadcast_to(mask, (2, 1, 5, 5)), by_loops(scope, 5))


def test_positions_start_anew_in_each_document():
  expected = [[0, 1, 0, 1, 0], [0, 1, 2, 3, 0]]
  np.testing.assert_array_equal(positions_of(SEGMENTS), expected)
