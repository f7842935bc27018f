"""Without torch: round trips and mistakes. Numbers are compared in tests/parity."""

import jax
import numpy as np
import pytest
from flax import nnx

from pretrainjax.convert import vit_mae
from pretrainjax.errors import UserError
from pretrainjax.models.decoder import MAEDecoder
from pretrainjax.models.vit import ViT


def params(**kwargs):
  sizes = {"patch_size": 4, "embed_dim": 8, "num_layers": 3, "num_heads": 2, "mlp_dim": 12}
  encoder = ViT(image_size=12, num_channels=2, **sizes, **kwargs, rngs=nnx.Rngs(0))
  decoder = MAEDecoder(
    grid=encoder.grid,
    patch_dim=encoder.patch_dim,
    encoder_dim=8,
    embed_dim=4,
    num_layers=2,
    num_heads=1,
    rngs=nnx.Rngs(1),
  )
  parts = {"encoder": encoder, "decoder": decoder}
  return {name: nnx.to_pure_dict(nnx.state(part, nnx.Param)) for name, part in parts.items()}


def tensors():
  return vit_mae.to_hf(params(), grid=(3, 3), num_channels=2)


def test_there_and_back():
  assert len(tensors()) == 4 + 16 * 3 + 2 + 4 + 16 * 2 + 4
  jax.tree.map(np.testing.assert_array_equal, vit_mae.from_hf(tensors()), params())


def test_fixed_positions_are_written_and_checked():
  wrong = tensors()
  assert wrong["decoder.decoder_pos_embed"].shape == (1, 10, 4)
  wrong["decoder.decoder_pos_embed"] = wrong["decoder.decoder_pos_embed"] + 0.1
  with pytest.raises(UserError, match="decoder_pos_embed is not the fixed sine-cosine table"):
    vit_mae.from_hf(wrong)


@pytest.mark.parametrize(
  "name",
  ["decoder.mask_token", "decoder.decoder_pos_embed", "vit.encoder.layer.2.output.dense.bias"],
)
def test_missing_tensors_are_named(name):
  short = tensors()
  del short[name]
  with pytest.raises(UserError, match=f"missing tensors {name}"):
    vit_mae.from_hf(short)


def test_unknown_tensors_are_named():
  with pytest.raises(UserError, match="unknown tensors classifier.weight"):
    vit_mae.from_hf(tensors() | {"classifier.weight": np.ones(2)})


def test_what_the_class_cannot_hold_is_refused():
  with pytest.raises(UserError, match="2 x 3: ViTMAE takes square images only"):
    vit_mae.to_hf(params(), grid=(2, 3))
  with pytest.raises(UserError, match="unknown parameters encoder/position_table"):
    vit_mae.to_hf(params(position="learned"), grid=(3, 3), num_channels=2)
