import numpy as np
import pytest
from their_tensors import made

from pretrainjax.convert.table import (
  LINEAR,
  SAME,
  TOKEN,
  Rule,
  flatten,
  linear_rules,
  norm_rules,
  patch_layout,
  rows_after,
  to_ours,
)
from pretrainjax.errors import UserError

RULES = (
  Rule("embed/kernel", "embed.weight", LINEAR),
  Rule("token", "token", TOKEN),
  Rule("blocks/up/kernel", "layer.{layer}.up.weight", LINEAR),
  Rule("blocks/up/bias", "layer.{layer}.up.bias", SAME),
)


def params():
  rng = np.random.default_rng(0)
  up = {"kernel": rng.normal(size=(3, 4, 5)), "bias": rng.normal(size=(3, 5))}
  return {"embed": {"kernel": rng.normal(size=(2, 4))}, "token": np.ones(4), "blocks": {"up": up}}


def test_there_and_back():
  tensors = made(RULES, params())
  assert tensors["layer.2.up.weight"].shape == (5, 4) and tensors["token"].shape == (1, 1, 4)
  again = to_ours(RULES, tensors)
  np.testing.assert_array_equal(again["blocks"]["up"]["kernel"], params()["blocks"]["up"]["kernel"])
  np.testing.assert_array_equal(again["embed"]["kernel"], params()["embed"]["kernel"])


def test_patch_layout_is_the_order_of_patchify():
  layout = patch_layout(2)
  kernel = np.arange(3 * 3 * 2 * 5).reshape(18, 5)
  theirs = layout.to_theirs(kernel)
  assert theirs.shape == (5, 2, 3, 3)
  assert theirs[4, 1, 2, 0] == kernel[(2 * 3 + 0) * 2 + 1, 4]
  np.testing.assert_array_equal(layout.to_ours(theirs), kernel)


def test_unknown_parameters_are_named():
  with pytest.raises(UserError, match="unknown parameters extra/scale"):
    made(RULES, params() | {"extra": {"scale": np.ones(2)}})


def test_missing_parameters_are_named():
  short = params()
  del short["token"]
  with pytest.raises(UserError, match="missing parameters token"):
    made(RULES, short)


def test_a_gap_in_the_layers_is_named():
  tensors = made(RULES, params())
  del tensors["layer.1.up.bias"]
  with pytest.raises(UserError, match=r"missing tensors layer\.1\.up\.bias"):
    to_ours(RULES, tensors)


def test_a_misspelt_tensor_is_named_with_its_neighbour():
  tensors = made(RULES, params())
  tensors["embed.weihgt"] = tensors.pop("embed.weight")
  with pytest.raises(UserError, match="unknown tensors embed.weihgt; did you mean 'embed.weight'"):
    to_ours(RULES, tensors)


FUSED = (
  Rule(("blocks/q/kernel", "blocks/k/kernel"), "h.{layer}.qk.weight", LINEAR, first=1),
  Rule(("blocks/q/bias", "blocks/k/bias"), "h.{layer}.qk.bias", SAME, first=1),
  Rule(("gate", "up"), "h.0.conv", SAME, axis=1),
  Rule("positions", "wpe", rows_after(2)),
  *norm_rules("norm", "h.0.norm", bias=False),
  *linear_rules("out", "out"),
)


def fused_params():
  rng = np.random.default_rng(1)
  blocks = {
    name: {"kernel": rng.normal(size=(2, 3, 4)), "bias": np.full((2, 4), float(i))}
    for i, name in enumerate("qk")
  }
  parts = {"gate": np.zeros((2, 3)), "up": np.ones((2, 3)), "positions": np.ones((5, 3))}
  out = {"kernel": np.ones((3, 2)), "bias": np.ones(2)}
  return {"blocks": blocks, "norm": {"scale": np.ones(3)}, "out": out, **parts}


def test_fused_tensors_and_stacks_that_begin_later():
  tensors = made(FUSED, fused_params())
  assert {n for n in tensors if "qk" in n} == {
    f"h.{i}.qk.{w}" for i in (1, 2) for w in ("bias", "weight")
  }
  assert tensors["h.1.qk.weight"].shape == (8, 3)
  np.testing.assert_array_equal(tensors["h.2.qk.bias"], [0, 0, 0, 0, 1, 1, 1, 1])
  np.testing.assert_array_equal(tensors["h.0.conv"][0], [0, 0, 0, 1, 1, 1])
  np.testing.assert_array_equal(tensors["wpe"][:, 0], [0, 0, 1, 1, 1, 1, 1])
  again = flatten(to_ours(FUSED, tensors))
  for path, value in flatten(fused_params()).items():
    np.testing.assert_array_equal(again[path], value)


def test_a_fused_tensor_that_does_not_split_is_named():
  tensors = made(FUSED, fused_params()) | {"h.0.conv": np.ones((2, 5))}
  with pytest.raises(UserError, match=r"h\.0\.conv has shape \[2, 5\]: expected 2 equal parts"):
    to_ours(FUSED, tensors)
