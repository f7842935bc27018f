import numpy as np
import pytest

from pretrainjax.convert.table import LINEAR, SAME, TOKEN, Rule, patch_layout, to_ours, to_theirs
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
  tensors = to_theirs(RULES, params())
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
    to_theirs(RULES, params() | {"extra": {"scale": np.ones(2)}})


def test_missing_parameters_are_named():
  short = params()
  del short["token"]
  with pytest.raises(UserError, match="missing parameters token"):
    to_theirs(RULES, short)


def test_a_gap_in_the_layers_is_named():
  tensors = to_theirs(RULES, params())
  del tensors["layer.1.up.bias"]
  with pytest.raises(UserError, match=r"missing tensors layer\.1\.up\.bias"):
    to_ours(RULES, tensors)


def test_a_misspelt_tensor_is_named_with_its_neighbour():
  tensors = to_theirs(RULES, params())
  tensors["embed.weihgt"] = tensors.pop("embed.weight")
  with pytest.raises(UserError, match="unknown tensors embed.weihgt; did you mean 'embed.weight'"):
    to_ours(RULES, tensors)
