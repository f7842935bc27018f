import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sound_objectives
import tiny_objectives as tiny
from flax import nnx

from pretrainjax import collectives, masking
from pretrainjax.errors import UserError
from pretrainjax.models.vit import ViT
from pretrainjax.types import Sound


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


def _places_of_sounds(batch, mask_ratio=0.7):
  """The patches of each row that are seen, and the hidden ones, of 12 times 2; by loops."""
  noise = [
    np.asarray(jax.random.uniform(key, (24,)))
    for key in collectives.example_keys(nnx.Rngs(tiny.KEY).mask(), len(batch["audio"]))
  ]
  places = []
  for row, samples in zip(noise, batch["num_samples"], strict=True):
    frames = (samples - 400) // 160 + 1
    order = np.argsort(row[: 2 * -(-frames // 4)])
    count = int(len(order) * (1 - mask_ratio))
    places.append((order[:count], order[count:]))
  return places


@pytest.mark.parametrize(("window", "norm_pix_loss"), [((4, 2), True), (None, False)])
def test_loss_of_sounds_equals_the_reference(window, norm_pix_loss):
  batch = sound_objectives.sounds(2)
  objective = sound_objectives.mae(decoder={"window": window}, norm_pix_loss=norm_pix_loss)
  done = tiny.run(objective, batch)
  total = count = 0.0
  for row, (seen, hidden) in enumerate(_places_of_sounds(batch)):
    keep, rest = (jnp.asarray(np.sort(x))[None] for x in (seen, hidden))
    samples = batch["num_samples"][row : row + 1]
    audio = batch["audio"][row : row + 1, : samples[0]]  # alone, without any padding

    def predict(module, sound, keep=keep, rest=rest):
      sequence = module.encoder.sequence(sound, keep=keep)
      return module.decoder(sequence, keep=keep, hidden=rest), module.encoder.features(sound)

    prediction, frames = tiny.call(done, predict, Sound(audio, samples))
    spectrogram = np.asarray(frames.features[0], np.float64)
    for number, place in enumerate(np.sort(hidden)):
      time, band = divmod(int(place), 2)
      target = spectrogram[4 * time : 4 * time + 4, 4 * band : 4 * band + 4].reshape(-1)
      if norm_pix_loss:
        target = (target - target.mean()) / np.sqrt(target.var(ddof=1) + 1e-6)
      error = np.asarray(prediction)[0, number, : len(target)] - target  # frames up to the end
      total, count = total + (error**2).sum(), count + len(target)
  np.testing.assert_allclose(done.metrics["loss"], total / count, rtol=1e-4)


def test_padding_and_what_else_is_in_the_batch_change_nothing():
  objective, batch = sound_objectives.mae(decoder={"window": (4, 2)}), sound_objectives.sounds()
  expected = tiny.metrics_of(objective, batch)
  longer = np.pad(batch["audio"], ((0, 0), (0, 1500)), constant_values=999)
  behind = np.arange(longer.shape[1])[None] >= batch["num_samples"][:, None]
  padded = batch | {"audio": np.where(behind, np.int16(-777), longer)}
  found = tiny.metrics_of(objective, padded)
  # The only row with sound, of a batch and alone; there is no spread then.
  others = batch | {"num_samples": batch["num_samples"] * np.array([1, 0, 0, 0], np.int32)}
  one = {name: array[:1] for name, array in batch.items()}
  first, alone = (tiny.metrics_of(objective, x)["loss"] for x in (others, one))
  np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-5)
  np.testing.assert_allclose(found["feature_std"], expected["feature_std"], rtol=1e-4)
  np.testing.assert_allclose(first, alone, rtol=1e-5)


def test_sounds_without_a_frame_have_no_loss():
  batch = sound_objectives.sounds() | {"num_samples": np.zeros(4, np.int32)}
  nothing = tiny.run(sound_objectives.mae(), batch)
  assert nothing.metrics["loss"] == 0
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(nothing.gradient))


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
  done = tiny.run(sound_objectives.mae(decoder={"window": (4, 2)}), sound_objectives.sounds())
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


@pytest.mark.repeat
def test_overfits_one_batch_of_sounds():
  batch = sound_objectives.sounds(2)
  first, last = tiny.overfit(sound_objectives.mae(), batch, num_steps=150)
  assert first["loss"] > 0.9 and last["loss"] < 0.35, (first, last)


def test_refuses_what_does_not_fit():
  with pytest.raises(UserError, match="backbone.padded: found True, expected False"):
    sound_objectives.mae(backbone={"padded": True}).init(rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match=r"mask_ratio=1.0: expected in \(0, 1\)"):
    tiny.mae(mask_ratio=1.0)
  with pytest.raises(UserError, match="decoder.encoder_dim: found 8, expected 16"):
    nnx.eval_shape(lambda: tiny.mae(decoder={"encoder_dim": 8}).init(rngs=nnx.Rngs(0)))
  with pytest.raises(UserError, match=r"decoder.grid: found \(2, 2\), expected \(4, 4\)"):
    nnx.eval_shape(lambda: tiny.mae(decoder={"grid": (2, 2)}).init(rngs=nnx.Rngs(0)))
