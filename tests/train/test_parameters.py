"""What names and shapes of parameters mean to the optimizer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from optax.contrib import MuonDimensionNumbers

from pretrainjax.train import parameters


def shape(*sizes):
  return jax.ShapeDtypeStruct(sizes, jnp.float32)


@pytest.mark.parametrize(
  "name, leaf, expected",
  [
    ("encoder/blocks/attention/query/kernel", shape(2, 4, 4), True),
    ("encoder/blocks/attention/query/bias", shape(2, 4), False),
    ("encoder/blocks/norm1/scale", shape(2, 4), False),
    ("encoder/blocks/norm1/kernel", shape(2, 4), False),  # rank 1 in one layer
    ("encoder/blocks/attention/bias", shape(2, 4, 4), False),
    ("encoder/patch_embed/kernel", shape(16, 4), True),
    ("encoder/cls_token", shape(1, 1, 4), False),
    ("encoder/register_tokens", shape(3, 4), False),
    ("mask_token", shape(1, 4), False),
    ("encoder/position", shape(9, 4), False),
    ("encoder/pos_embed/embedding", shape(9, 4), False),
    ("encoder/position_conv/kernel", shape(3, 4, 4), True),
    ("encoder/token_embed/embedding", shape(50, 4), True),
    ("head/kernel", shape(4, 10), True),
    ("head/bias", shape(10), False),
    ("temperature", shape(), False),
    ("stem/conv/kernel", shape(3, 3, 3, 8), True),
  ],
)
def test_is_weight(name, leaf, expected):
  assert parameters.is_weight(name, leaf) is expected


@pytest.mark.parametrize(
  "name, leaf, axes",
  [
    ("encoder/blocks/attention/query/kernel", shape(2, 4, 4), ((1,), (2,))),
    ("encoder/blocks/mlp/head/kernel", shape(2, 4, 4), ((1,), (2,))),
    ("encoder/blocks/norm1/scale", shape(2, 4), None),
    ("encoder/patch_embed/kernel", shape(16, 4), None),
    ("encoder/token_embed/embedding", shape(50, 4), None),
    ("projector/dense1/kernel", shape(4, 8), ((0,), (1,))),
    ("stem/conv/kernel", shape(3, 3, 3, 8), None),
    ("stage0/conv1/kernel", shape(3, 3, 4, 8), ((0, 1, 2), (3,))),
    ("classifier/kernel", shape(4, 8), None),
  ],
)
def test_muon_dimensions(name, leaf, axes):
  expected = None if axes is None else MuonDimensionNumbers(*axes)
  assert parameters.muon_dimensions(name, leaf) == expected


def test_layer_scales():
  params = {
    "encoder": {
      "patch_embed": {"kernel": shape(16, 4)},
      "cls_token": shape(4),
      "blocks": {"mlp": {"kernel": shape(3, 4, 8), "bias": shape(3, 8)}},
      "norm": {"scale": shape(4)},
    },
    "embed_norm_head": {"kernel": shape(4, 2)},
  }
  scales = parameters.layer_scales(params, 0.5)
  assert scales["encoder/patch_embed/kernel"] == scales["encoder/cls_token"] == 0.5**4
  np.testing.assert_array_equal(
    scales["encoder/blocks/mlp/kernel"], np.array([0.125, 0.25, 0.5]).reshape(3, 1, 1)
  )
  assert scales["encoder/blocks/mlp/bias"].shape == (3, 1)
  assert scales["encoder/norm/scale"] == 1
  assert scales["embed_norm_head/kernel"] == 1, "beside no stack, so of no stack's input"


def test_layer_scales_of_two_towers():
  tower = {"embed": shape(4, 4)}
  params = {
    "image": tower | {"blocks": {"kernel": shape(1, 4, 4)}},
    "text": tower | {"blocks": {"kernel": shape(3, 4, 4)}},
  }
  scales = parameters.layer_scales(params, 0.5)
  assert (scales["image/embed"], scales["text/embed"]) == (0.25, 0.0625)


def test_layer_scales_need_layers():
  with pytest.raises(ValueError, match=r"layer_decay=0\.5: no parameter lies under 'blocks'"):
    parameters.layer_scales({"kernel": shape(2, 2)}, 0.5)


def test_patterns():
  params = {"encoder": {"patch_embed": {"kernel": shape(2, 2)}}, "head": {"kernel": shape(2, 2)}}
  name = "encoder/patch_embed/kernel"
  for pattern in ("encoder", "*/patch_embed", "encoder/patch_embed/kernel", "enc*kernel"):
    assert parameters.matches(name, (pattern,))
    parameters.check_patterns((pattern,), params)
  assert not parameters.matches(name, ("patch_embed", "head"))
  with pytest.raises(ValueError, match="'encodr' fits no parameter; did you mean 'encoder'"):
    parameters.check_patterns(("encodr",), params)
  with pytest.raises(ValueError, match="leaves no parameter"):
    parameters.check_patterns(("encoder", "head"), params)
