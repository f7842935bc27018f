"""What moves between networks, and what is refused."""

import numpy as np
import pytest

pytest.importorskip("pretrainjax.models.layers.position")

from pretrainjax.checkpoint.surgery import transfer
from pretrainjax.errors import UserError


def _tree(**more):
  return {"block": {"kernel": np.full((2, 3), 1.0, np.float32)}, **more}


def test_same_paths_are_loaded():
  target = {"block": {"kernel": np.zeros((2, 3), np.float32)}}
  moved = transfer(_tree(), target)
  np.testing.assert_array_equal(moved.params["block"]["kernel"], 1.0)
  assert (moved.loaded, moved.fresh, moved.unused) == (["block/kernel"], [], [])


def test_differences_need_permission():
  target = {"block": {"kernel": np.zeros((2, 3), np.float32)}, "pool_norm": {"scale": np.ones(3)}}
  source = _tree(norm={"scale": np.ones(3)})
  with pytest.raises(UserError, match="pool_norm/scale: wanted, not saved; norm/scale: saved"):
    transfer(source, target)
  moved = transfer(source, target, allow_fresh=("pool_norm/*",), allow_unused=("norm/*",))
  assert (moved.fresh, moved.unused) == (["pool_norm/scale"], ["norm/scale"])
  assert "new: pool_norm/scale; left behind: norm/scale" in moved.summary()


def test_shapes_must_agree():
  target = {"block": {"kernel": np.zeros((2, 4), np.float32)}}
  with pytest.raises(UserError, match=r"block/kernel: saved \[2, 3\], wanted \[2, 4\]"):
    transfer(_tree(), target)


def test_positions_follow_the_grid():
  table = np.tile(np.arange(4.0, dtype=np.float32)[:, None], (1, 5))[None]
  moved = transfer({"position": table}, {"position": np.zeros((1, 16, 5), np.float32)})
  assert moved.resized == ["position"]
  assert moved.params["position"].shape == (1, 16, 5)
  np.testing.assert_allclose(np.mean(moved.params["position"]), 1.5, atol=1e-5)
  with pytest.raises(UserError, match="only square grids"):
    transfer({"position": table}, {"position": np.zeros((1, 6, 5), np.float32)})


def test_positions_of_texts_are_cut_and_never_made_up():
  tokens = {"token_embedding": np.zeros((5, 2), np.float32)}
  long = tokens | {"position_table": np.arange(32, dtype=np.float32).reshape(16, 2)}
  short = tokens | {"position_table": np.zeros((4, 2), np.float32)}
  moved = transfer(long, short)
  np.testing.assert_array_equal(moved.params["position_table"], long["position_table"][:4])
  assert moved.resized == ["position_table"] and "of them resized" in moved.summary()
  with pytest.raises(UserError, match="those of texts can only be cut"):
    transfer(short, long)


def test_nothing_in_common_is_refused():
  with pytest.raises(UserError, match="does not fit"):
    transfer({"a": np.ones(2)}, {"b": np.ones(2)}, allow_fresh=("*",), allow_unused=("*",))


def test_another_dtype_is_not_cast():
  target = {"block": {"kernel": np.zeros((2, 3), np.float16)}}
  with pytest.raises(UserError, match="block/kernel: saved float32, wanted float16"):
    transfer(_tree(), target)
