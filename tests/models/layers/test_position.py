import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.models.layers.position import resize_position_table, sincos_table


def test_sincos_entry_by_entry():
  """Written out by the formula, one number at a time."""
  width, rows, columns = 12, 2, 3
  table = sincos_table(width, (rows, columns))
  for row, column, i in np.ndindex(rows, columns, width):
    half, rest = divmod(i, width // 2)
    wave, frequency = divmod(rest, width // 4)
    place = (column, row)[half]
    angle = place / 10000 ** (frequency / (width / 4))
    expected = (np.sin, np.cos)[wave](angle)
    assert table[row * columns + column, i] == pytest.approx(expected, abs=1e-6)


def test_sincos_rows_are_distinct_and_of_one_length():
  table = sincos_table(16, (7, 5))
  assert len(np.unique(table.round(5), axis=0)) == 35
  np.testing.assert_allclose(np.linalg.norm(table, axis=1), np.sqrt(8), rtol=1e-5)


def test_sincos_is_cached_and_read_only():
  assert sincos_table(16, (2, 2)) is sincos_table(16, (2, 2))
  with pytest.raises(ValueError, match="read-only"):
    sincos_table(16, (2, 2))[0, 0] = 1


def test_sincos_needs_a_multiple_of_4():
  with pytest.raises(ValueError, match="embed_dim=18"):
    sincos_table(18, (2, 2))


def test_resize_to_the_same_grid_changes_nothing():
  table = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
  np.testing.assert_array_equal(resize_position_table(table, (2, 3), (2, 3)), table)


def test_resize_keeps_what_is_constant_and_the_trend_of_a_ramp():
  ramp = np.repeat(np.arange(4.0, dtype=np.float32), 4)[:, None]  # grows with the row
  table = np.concatenate([ramp, np.ones_like(ramp)], axis=1)
  for grid in ((8, 8), (2, 2), (3, 5)):
    resized = np.asarray(resize_position_table(jnp.asarray(table), (4, 4), grid)).reshape(*grid, 2)
    np.testing.assert_allclose(resized[..., 1], 1, atol=1e-5)
    assert (np.diff(resized[..., 0], axis=0) > 0).all()
    np.testing.assert_allclose(np.ptp(resized[..., 0], axis=1), 0, atol=1e-5)


def test_resize_checks_the_old_grid():
  with pytest.raises(ValueError, match="old_grid=2 x 2: the table has 6 rows"):
    resize_position_table(jnp.zeros((6, 4)), (2, 2), (3, 3))
