import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.vit import ViT, vit_variant
from pretrainjax.types import Encoder

SIZES = {"patch_size": 4, "embed_dim": 16, "num_layers": 3, "num_heads": 2, "mlp_dim": 24}


def tiny(image_size=(8, 12), **kwargs):
  return ViT(image_size=image_size, **{**SIZES, **kwargs}, rngs=nnx.Rngs(0))


def images(batch=2, size=(8, 12), channels=3):
  return np.random.default_rng(0).integers(0, 256, (batch, *size, channels), dtype=np.uint8)


def num_params(make):
  params = nnx.state(nnx.eval_shape(make), nnx.Param)
  return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
  ("variant", "published"),
  # With a head of 1000 classes: timm's vit_{tiny,small,base,large}_patch16_224, vit_huge_patch14.
  [
    ("Ti/16", 5_717_416),
    ("S/16", 22_050_664),
    ("B/16", 86_567_656),
    ("L/16", 304_326_632),
    ("H/14", 632_045_800),
  ],
)
def test_parameter_counts_are_the_published_ones(variant, published):
  sizes = vit_variant(variant)
  count = num_params(lambda: ViT(image_size=224, position="learned", rngs=nnx.Rngs(0), **sizes))
  width = sizes["embed_dim"]
  head, cls_position = 1000 * (width + 1), width
  assert count + head + cls_position == published


def test_vit_variant_names_the_nearest():
  assert vit_variant("B/32")["patch_size"] == 32
  with pytest.raises(ValueError, match="did you mean 'Ti/16'"):
    vit_variant("T/16")
  with pytest.raises(ValueError, match="expected SIZE/PATCH"):
    vit_variant("B")


@pytest.mark.parametrize("pool", ["cls", "mean", "map"])
@pytest.mark.parametrize("position", ["sincos", "learned"])
@pytest.mark.parametrize("num_registers", [0, 2])
def test_shapes(pool, position, num_registers):
  encoder = tiny(pool=pool, position=position, num_registers=num_registers, use_cls=pool != "map")
  assert isinstance(encoder, Encoder)
  encoded = encoder(images())
  assert encoded.tokens.shape == (2, 6, 16)
  assert encoded.pooled.shape == (2, 16)
  assert encoded.valid.all() and encoded.valid.shape == (2, 6)
  keep = jnp.array([[0, 5], [2, 1]])
  assert encoder.sequence(images(), keep=keep).shape == (2, 2 + encoder.num_prefix, 16)
  assert encoder(images(), keep=keep).valid.shape == (2, 2)


@pytest.mark.parametrize("position", ["sincos", "learned"])
def test_keep_of_all_patches_is_no_keep(position):
  encoder = tiny(position=position)
  order = jnp.array([[3, 1, 0, 5, 4, 2], [5, 4, 3, 2, 1, 0]])
  whole, kept = encoder(images()), encoder(images(), keep=order)
  expected = jnp.take_along_axis(whole.tokens, order[:, :, None], axis=1)
  np.testing.assert_allclose(kept.tokens, expected, atol=1e-5)
  np.testing.assert_allclose(kept.pooled, whole.pooled, atol=1e-5)


def test_hidden_patches_do_not_matter():
  encoder, keep = tiny(), jnp.array([[0, 4], [0, 4]])
  changed = images()
  changed[:, :4, 4:] = 0  # patches 1 and 2
  changed[:, 4:, :4] = 255  # patch 3
  np.testing.assert_array_equal(
    encoder(images(), keep=keep).pooled, encoder(changed, keep=keep).pooled
  )
  assert (encoder(images()).pooled != encoder(changed).pooled).any()


@pytest.mark.parametrize("keep", [None, jnp.array([[1, 3], [0, 5]])])
def test_bytes_equal_normalised_floats(keep):
  encoder = tiny(image_mean=(0.4, 0.5, 0.6), image_std=(0.2, 0.3, 0.4))
  normalised = encoder.normalize(images())
  np.testing.assert_allclose(
    encoder(images(), keep=keep).pooled, encoder(normalised, keep=keep).pooled, atol=1e-5
  )


def test_bfloat16_is_near_float32_and_keeps_float32_parameters():
  wide, half = tiny(), tiny(dtype="bfloat16")
  assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(half))} == {jnp.dtype("float32")}
  encoded = half(images())
  assert encoded.tokens.dtype == encoded.pooled.dtype == jnp.bfloat16
  np.testing.assert_allclose(
    encoded.tokens.astype(jnp.float32), wide(images()).tokens, atol=0.1, rtol=0.1
  )


def test_pool_norm_normalises_pooled():
  pooled = tiny(pool="mean", final_norm=False, pool_norm=True)(images()).pooled
  np.testing.assert_allclose(pooled.mean(axis=-1), 0, atol=1e-5)
  np.testing.assert_allclose(pooled.var(axis=-1), 1, atol=1e-3)


def test_dropout_and_drop_path_need_and_use_keys():
  encoder = tiny(drop_path=0.5, dropout=0.1)
  with pytest.raises(ValueError, match="needs rngs="):
    encoder(images(), deterministic=False)
  runs = [encoder(images(), deterministic=False, rngs=nnx.Rngs(seed)).pooled for seed in (0, 0, 1)]
  np.testing.assert_array_equal(runs[0], runs[1])
  assert (runs[0] != runs[2]).any()


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"image_size": 10}, "patch_size=4: expected a divisor of image_size=10 x 10"),
    ({"num_heads": 3}, "num_heads=3: expected a divisor"),
    ({"use_cls": False}, "pool='cls': needs use_cls=True"),
    ({"drop_path": 1.0}, "drop_path=1.0"),
    ({"image_mean": (0.5, 0.5)}, "image_mean"),
  ],
)
def test_mistakes_are_named(arguments, message):
  with pytest.raises(ValueError, match=message):
    tiny(**arguments)


def test_a_wrong_image_is_refused():
  with pytest.raises(ValueError, match=r"images have shape \(12, 8, 3\): expected \(8, 12, 3\)"):
    tiny()(images(size=(12, 8)))
