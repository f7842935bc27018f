import jax
import numpy as np
import pytest
import tiny_objectives as tiny
from flax import nnx

from pretrainjax.augment.color import ColorAugment
from pretrainjax.errors import UserError


def _reference(projected, temperature):
  """NT-Xent of rows 0, 1 | 2, 3 | ..., and how often the pair is the nearest."""
  z = np.asarray(projected, np.float64)
  z /= np.linalg.norm(z, axis=1, keepdims=True)
  scores = z @ z.T / temperature
  np.fill_diagonal(scores, -np.inf)
  pair = np.arange(len(z)).reshape(-1, 2)[:, ::-1].ravel()
  positive = scores[np.arange(len(z)), pair]
  loss = np.log(np.exp(scores).sum(axis=1)) - positive
  return loss.mean(), (scores.argmax(axis=1) == pair).mean(), positive.mean() * temperature


def test_metrics_equal_the_reference():
  images = tiny.images(views=2)
  done = tiny.run(tiny.simclr(), {"image": images})

  def project(module, images):
    return module.projector(module.encoder(images).pooled, deterministic=False)

  projected = tiny.call(done, project, images.reshape(16, 8, 8, 3))
  loss, accuracy, similarity = _reference(projected, 0.5)
  np.testing.assert_allclose(done.metrics["loss"], loss, rtol=1e-4)
  np.testing.assert_allclose(done.metrics["contrastive_accuracy"], accuracy, atol=1e-6)
  np.testing.assert_allclose(done.metrics["positive_similarity"], similarity, atol=1e-4)


def test_equal_views_are_found_and_equal_images_show_as_collapse():
  images = tiny.images(views=2)
  images[:, 1] = images[:, 0]
  metrics = tiny.run(tiny.simclr(), {"image": images}).metrics
  np.testing.assert_allclose(metrics["positive_similarity"], 1, atol=1e-4)
  assert metrics["contrastive_accuracy"] == 1 and metrics["feature_std"] > 0.05
  images[:] = images[:1]
  metrics = tiny.run(tiny.simclr(), {"image": images}).metrics
  assert metrics["feature_std"] < 1e-3
  np.testing.assert_allclose(metrics["loss"], np.log(15), rtol=1e-4)


def test_batch_statistics_are_of_both_views_and_move_once():
  images = tiny.images(views=2)
  images[:, 1] //= 8  # views of very different statistics
  done = tiny.run(tiny.simclr(), {"image": images})

  def first_layer(module, images):
    return module.projector.linear0(module.encoder(images).pooled)

  hidden = np.asarray(tiny.call(done, first_layer, images.reshape(16, 8, 8, 3)))
  running = done.extras["projector"]["norm0"]
  np.testing.assert_allclose(running["mean"], 0.1 * hidden.mean(axis=0), atol=1e-5)
  np.testing.assert_allclose(running["var"], 0.9 + 0.1 * hidden.var(axis=0), atol=1e-4)


def test_gradients_reach_every_parameter():
  done = tiny.run(tiny.simclr(augment=tiny.augment()), {"image": tiny.images(views=2)})
  assert not tiny.without_gradient(done.gradient)


def test_the_key_decides_the_augmentation():
  keys = (jax.random.key(k) for k in (5, 5, 6))
  objective, batch = tiny.simclr(augment=tiny.augment()), {"image": tiny.images(views=2)}
  same, again, other = (tiny.run(objective, batch, k).metrics["loss"] for k in keys)
  assert same == again and same != other


def test_augmented_images_reach_the_encoder_normalised():
  """An augmentation that does nothing changes nothing: bytes and floats are normalised alike."""
  batch = {"image": tiny.images(views=2)}
  plain = tiny.run(tiny.simclr(), batch).metrics["loss"]
  idle = tiny.metrics_of(tiny.simclr(augment=ColorAugment()), batch)["loss"]
  np.testing.assert_allclose(idle, plain, rtol=1e-5)


def test_overfits_one_batch():
  first, last = tiny.overfit(tiny.simclr(), {"image": tiny.images(views=2)})
  assert first["contrastive_accuracy"] < 0.6
  assert last["contrastive_accuracy"] == 1 and last["loss"] < first["loss"] - 0.5


def test_refuses_what_does_not_fit():
  with pytest.raises(ValueError, match="temperature=0.0: expected above 0"):
    tiny.simclr(temperature=0.0)
  with pytest.raises(UserError, match="data.views"):
    tiny.metrics_of(tiny.simclr(), {"image": tiny.images()})
  with pytest.raises(UserError, match="projector.in_dim: found 8, expected 16"):
    nnx.eval_shape(lambda: tiny.simclr(in_dim=8).init(rngs=nnx.Rngs(0)))
