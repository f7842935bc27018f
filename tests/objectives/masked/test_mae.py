import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_objectives as tiny
from flax import nnx

from pretrainjax import masking
from pretrainjax.errors import UserError
from pretrainjax.models.vit import ViT


def _patches(images):
  """2 x 2 patches, cut with loops."""
  rows = [
    [image[2 * r : 2 * r + 2, 2 * c : 2 * c + 2].reshape(-1) for r in range(4) for c in range(4)]
    for image in images
  ]
  return np.array(rows, np.float64)


@pytest.mark.parametrize("norm_pix_loss", [True, False])
def test_loss_equals_the_reference(norm_pix_loss):
  images = tiny.images()
  objective = tiny.mae(norm_pix_loss=norm_pix_loss)
  done = tiny.run(objective, {"image": images})

  visible = masking.random_mask(nnx.Rngs(tiny.KEY).mask(), (8, 16), mask_ratio=0.75)
  keep = jnp.asarray([np.flatnonzero(row) for row in np.asarray(visible)])
  hidden = jnp.asarray([np.flatnonzero(~row) for row in np.asarray(visible)])

  def predict(module, images):
    sequence = module.encoder.sequence(images, keep=keep)
    return module.decoder(sequence, keep=keep, hidden=hidden, patches="all")

  prediction = tiny.call(done, predict, images)

  target = _patches((images / 255 - 0.5) / 0.5)
  if norm_pix_loss:
    target = (target - target.mean(-1, keepdims=True)) / np.sqrt(
      target.var(-1, ddof=1, keepdims=True) + 1e-6
    )
  error = ((np.asarray(prediction) - target) ** 2).mean(-1)
  expected = (error * ~np.asarray(visible)).sum() / (~np.asarray(visible)).sum()
  np.testing.assert_allclose(done.metrics["loss"], expected, rtol=1e-4)


def test_the_encoder_sees_a_quarter_of_the_patches_of_each_image(monkeypatch):
  seen = []
  original = ViT.sequence

  def spy(self, images, *, keep=None, **options):
    x = original(self, images, keep=keep, **options)
    seen.append((keep.shape, x.shape))
    return x

  monkeypatch.setattr(ViT, "sequence", spy)
  (params, extras), _ = tiny.start(tiny.mae())
  jax.eval_shape(tiny.loss_fn(tiny.mae()), params, extras, {"image": tiny.images()}, tiny.KEY)
  assert seen == [((8, 4), (8, 5, 16))]  # with the class token


def test_gradients_reach_every_parameter():
  done = tiny.run(tiny.mae(), {"image": tiny.images()})
  assert not tiny.without_gradient(done.gradient)


def test_the_key_decides_the_mask():
  keys = (jax.random.key(k) for k in (5, 5, 6))
  batch = {"image": tiny.images()}
  same, again, other = (tiny.run(tiny.mae(), batch, k).metrics["loss"] for k in keys)
  assert same == again and same != other


def test_overfits_one_batch():
  first, last = tiny.overfit(tiny.mae(), {"image": tiny.images()}, num_steps=200)
  assert first["loss"] > 0.9 and last["loss"] < 0.3
  assert 0 < last["feature_std"] < 1.5


def test_refuses_what_does_not_fit():
  with pytest.raises(ValueError, match=r"mask_ratio=1.0: expected in \(0, 1\)"):
    tiny.mae(mask_ratio=1.0)
  with pytest.raises(UserError, match="decoder.encoder_dim: found 8, expected 16"):
    nnx.eval_shape(lambda: tiny.mae(decoder={"encoder_dim": 8}).init(rngs=nnx.Rngs(0)))
  with pytest.raises(UserError, match=r"decoder.grid: found \(2, 2\), expected \(4, 4\)"):
    nnx.eval_shape(lambda: tiny.mae(decoder={"grid": (2, 2)}).init(rngs=nnx.Rngs(0)))
