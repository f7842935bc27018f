import numpy as np
import pytest
import tiny_objectives as tiny
from flax import nnx

from pretrainjax.errors import UserError
from pretrainjax.types import Text


def views(*seeds):
  """Texts of several seeds as views of the same examples."""
  parts = [tiny.texts(seed=seed) for seed in seeds]
  return {key: np.stack([part[key] for part in parts], axis=1) for key in parts[0]}


def reference(first, candidates):
  """Cross-entropy of finding row b among candidates, how often it is, and the cosine."""
  unit = [
    x / np.linalg.norm(x, axis=1, keepdims=True) for x in map(np.float64, (first, candidates))
  ]
  logits = unit[0] @ unit[1].T / 0.05
  positive = np.diag(logits[:, : len(first)])
  loss = np.log(np.exp(logits - logits.max()).sum(axis=1)) + logits.max() - positive
  found = logits.argmax(axis=1) == np.arange(len(first))
  return loss.mean(), found.mean(), positive.mean() * 0.05


@pytest.mark.parametrize("count", [2, 3])
def test_metrics_equal_the_reference(count):
  batch = views(*range(count))
  # Large weights keep features of different texts apart, so that no two are equally near.
  done = tiny.run(tiny.simcse(backbone=tiny.bert(init_std=0.3)), batch)

  def project(module, tokens, segments):
    return module.projector(module.encoder(Text(tokens, segments)).pooled)

  rows = [
    np.reshape(np.swapaxes(batch[k], 0, 1), (-1, tiny.LENGTH)) for k in ("tokens", "segments")
  ]
  projected = np.asarray(tiny.call(done, project, *rows))
  loss, accuracy, similarity = reference(projected[:8], projected[8:])
  np.testing.assert_allclose(done.metrics["loss"], loss, rtol=1e-4)
  np.testing.assert_allclose(done.metrics["contrastive_accuracy"], accuracy, atol=1e-6)
  np.testing.assert_allclose(done.metrics["positive_similarity"], similarity, atol=1e-4)
  unit = projected[:8] / np.linalg.norm(projected[:8], axis=1, keepdims=True)
  squared = np.square(unit[:, None] - unit[None]).sum(-1)[~np.eye(8, dtype=bool)]
  np.testing.assert_allclose(
    done.metrics["uniformity"], np.log(np.exp(-2 * squared).mean()), atol=1e-4
  )


def test_dropout_differs_between_a_text_and_itself():
  batch = views(0, 0)
  same = tiny.run(tiny.simcse(), batch).metrics
  np.testing.assert_allclose(same["positive_similarity"], 1, atol=1e-5)
  dropped = tiny.run(tiny.simcse(backbone=tiny.bert(dropout=0.3)), batch).metrics
  assert dropped["positive_similarity"] < 0.99


def test_gradients_reach_every_parameter():
  done = tiny.run(tiny.simcse(), views(0, 1))
  # Of a row the first document alone is pooled, and there is no second type.
  assert tiny.without_gradient(done.gradient) == set()


def test_overfits_one_batch():
  objective = tiny.simcse(backbone=tiny.bert(init_std=0.1))
  first, last = tiny.overfit(objective, views(0, 1), num_steps=100, learning_rate=2e-3)
  assert first["contrastive_accuracy"] < 0.6 and last["contrastive_accuracy"] == 1
  assert last["loss"] < 0.1 * first["loss"]


def test_refuses_what_does_not_fit():
  with pytest.raises(ValueError, match="temperature=0.0: expected above 0"):
    tiny.simcse(temperature=0.0)
  with pytest.raises(UserError, match=r"data.views: found texts \(8, 12\), expected 2 or 3"):
    tiny.run(tiny.simcse(), tiny.texts())
  with pytest.raises(UserError, match="projector.embed_dim: found 8, expected 16"):
    nnx.eval_shape(lambda: tiny.simcse(embed_dim=8).init(rngs=nnx.Rngs(0)))
