import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_objectives as tiny
from flax import nnx
from scipy.special import log_softmax

from pretrainjax.errors import UserError
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.objectives.masked.corruption import corrupt
from pretrainjax.types import Text


def hidden_places(batch, **changes):
  options = {"mask_rate": 0.15, "mask_id": 4, "special_ids": (0, 1, 2, 3, 4)}
  options |= {"random_share": 0.1, "keep_share": 0.1, "vocab_size": tiny.VOCAB_SIZE} | changes
  return corrupt(nnx.Rngs(tiny.KEY).mask(), Text(batch["tokens"], batch["segments"]), **options)


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_loss_equals_the_reference(chunk_size):
  batch = tiny.texts()
  done = tiny.run(tiny.masked_lm(chunk_size=chunk_size), batch)
  corrupted = hidden_places(batch)

  def logits(module, tokens):
    hidden = module.encoder.sequence(Text(tokens, batch["segments"]))
    return module.head(hidden, module.encoder.token_embedding[...])

  scores = log_softmax(np.asarray(tiny.call(done, logits, corrupted.tokens), np.float64), axis=-1)
  losses, right = [], []
  for row, column in np.argwhere(np.asarray(corrupted.valid)):
    place = corrupted.positions[row, column]
    losses.append(-scores[row, place, batch["tokens"][row, place]])
    right.append(scores[row, place].argmax() == batch["tokens"][row, place])
  np.testing.assert_allclose(done.metrics["loss"], np.mean(losses), rtol=1e-4)
  np.testing.assert_allclose(done.metrics["masked_accuracy"], np.mean(right), atol=1e-6)


def test_the_loss_begins_near_that_of_a_guess():
  loss = tiny.metrics_of(tiny.masked_lm(), tiny.texts())["loss"]
  np.testing.assert_allclose(loss, np.log(tiny.VOCAB_SIZE), atol=0.1)


def test_the_head_sees_chosen_tokens_only(monkeypatch):
  seen = []
  original = MaskedLMHead.transform

  def spy(self, hidden):
    seen.append(hidden.shape)
    return original(self, hidden)

  monkeypatch.setattr(MaskedLMHead, "transform", spy)
  (params, extras), _ = tiny.start(tiny.masked_lm())
  jax.eval_shape(tiny.loss_fn(tiny.masked_lm()), params, extras, tiny.texts(), tiny.KEY)
  assert seen == [(8, 2, 16)]  # 15% of 12


def test_what_stands_in_padding_changes_nothing():
  batch = tiny.texts()
  changed = {**batch, "tokens": np.where(batch["segments"] > 0, batch["tokens"], 7)}
  first, second = (tiny.metrics_of(tiny.masked_lm(), b) for b in (batch, changed))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), first, second)


def test_documents_of_a_row_do_not_know_of_each_other():
  """Otherwise a packed row would be another text than its documents."""
  batch = tiny.texts()
  done = tiny.run(tiny.masked_lm(), batch)

  def tokens(module, text):
    return module.encoder.sequence(text)

  text = Text(jnp.asarray(batch["tokens"]), jnp.asarray(batch["segments"]))
  other = jnp.where(text.segments == 2, 5, text.tokens)
  first, second = (tiny.call(done, tokens, text._replace(tokens=t)) for t in (text.tokens, other))
  np.testing.assert_array_equal(first[text.segments == 1], second[text.segments == 1])


def test_whole_words_need_and_use_starts():
  batch = {"tokens": np.full((8, 12), 9, np.int32), "segments": np.ones((8, 12), np.int32)}
  starts = np.zeros(batch["tokens"].shape, bool)  # one word a row, too long to be chosen
  objective = tiny.masked_lm(whole_words=True, mask_rate=0.3)
  assert tiny.metrics_of(objective, {**batch, "starts": starts})["loss"] == 0
  assert tiny.metrics_of(objective, {**batch, "starts": ~starts})["loss"] > 1
  with pytest.raises(UserError, match="word_starts"):
    tiny.metrics_of(objective, batch)


def test_gradients_reach_every_parameter():
  done = tiny.run(tiny.masked_lm(mask_rate=0.4), tiny.texts())
  assert not tiny.without_gradient(done.gradient)


def test_the_key_decides_the_mask():
  keys = (jax.random.key(k) for k in (5, 5, 6))
  same, again, other = (tiny.metrics_of(tiny.masked_lm(), tiny.texts(), k)["loss"] for k in keys)
  assert same == again and same != other


def test_overfits_one_batch():
  batch = tiny.texts()
  # One document a row: several of one hidden token each could not be told apart.
  batch["segments"] = np.minimum(batch["segments"], 1)
  first, last = tiny.overfit(tiny.masked_lm(), batch, num_steps=100)
  assert first["loss"] > 3 and last["loss"] < 0.1 and last["masked_accuracy"] == 1
  assert 0 < last["feature_std"] < 1.5


def test_refuses_what_does_not_fit():
  for changes, message in (
    ({"mask_rate": 1.0}, r"mask_rate=1.0: expected in \(0, 1\)"),
    ({"mask_rate": 0.0}, "mask_rate=0.0: expected"),
    ({"random_share": 1.5}, r"random_share=1.5: expected in \[0, 1\]"),
    ({"random_share": 0.6, "keep_share": 0.6}, "random_share.*found 1.2, expected at most 1"),
    ({"chunk_size": 0}, "chunk_size=0: expected at least 1"),
  ):
    with pytest.raises(ValueError, match=message):
      tiny.masked_lm(**changes)
  for head, message in (
    ({"vocab_size": 30}, "head.vocab_size: found 30, expected 29"),
    ({"embed_dim": 8}, "head.embed_dim: found 8, expected 16"),
    ({"embedding_dim": 8}, "head.embedding_dim: found 8, expected 16"),
  ):
    with pytest.raises(UserError, match=message):
      nnx.eval_shape(lambda head=head: tiny.masked_lm(head=head).init(rngs=nnx.Rngs(0)))
