import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_objectives as tiny
from flax import nnx
from scipy.special import log_softmax, softmax

from pretrainjax.errors import UserError
from pretrainjax.objectives.masked.corruption import corrupt
from pretrainjax.objectives.masked.electra import draw_tokens
from pretrainjax.types import Text


def hidden_places(batch):
  options = {"mask_rate": 0.15, "mask_id": 4, "special_ids": (0, 1, 2, 3, 4)}
  text = Text(batch["tokens"], batch["segments"])
  return corrupt(nnx.Rngs(tiny.KEY).mask(), text, vocab_size=tiny.VOCAB_SIZE, **options)


def test_losses_equal_the_reference():
  batch = tiny.texts()
  done = tiny.run(tiny.electra(), batch)
  corrupted = hidden_places(batch)
  rows = np.arange(8)[:, None]
  present = batch["segments"] > 0

  def generate(module, tokens):
    x = module.encoder.embed(Text(tokens, batch["segments"]))
    x = module.generator.transform(x, segments=batch["segments"])
    hidden = jnp.take_along_axis(x, corrupted.positions[:, :, None], axis=1)
    table = module.encoder.token_embedding[...]
    features, bias = module.head.transform(hidden), module.head.bias[...]
    rngs = nnx.Rngs(tiny.KEY)
    rngs.mask()  # drawn before, from the same stream
    drawn = draw_tokens(rngs.sample(), features, table, bias)
    return module.head(hidden, table), drawn

  logits, drawn = tiny.call(done, generate, corrupted.tokens)
  valid = np.asarray(corrupted.valid)
  scores = log_softmax(np.asarray(logits, np.float64), axis=-1)
  chosen = np.take_along_axis(scores, np.asarray(corrupted.labels)[:, :, None], axis=2)[..., 0]
  np.testing.assert_allclose(done.metrics["masked_loss"], -chosen[valid].mean(), rtol=1e-4)

  filled = batch["tokens"].copy()
  filled[rows, corrupted.positions] = np.where(valid, drawn, corrupted.labels)
  replaced = filled != batch["tokens"]  # a token drawn as it was is an original one
  assert replaced.any() and not replaced[~present].any()

  def detect(module, tokens):
    return module.detector(module.encoder.sequence(Text(tokens, batch["segments"])))

  logit = np.asarray(tiny.call(done, detect, jnp.asarray(filled)), np.float64)[..., 0]
  losses = np.where(replaced, np.logaddexp(0, -logit), np.logaddexp(0, logit))
  np.testing.assert_allclose(done.metrics["detection_loss"], losses[present].mean(), rtol=1e-4)
  np.testing.assert_allclose(
    done.metrics["loss"], -chosen[valid].mean() + 50 * losses[present].mean(), rtol=1e-4
  )
  right = (logit > 0) == replaced
  np.testing.assert_allclose(done.metrics["detection_accuracy"], right[present].mean(), rtol=1e-5)
  np.testing.assert_allclose(done.metrics["replaced_share"], replaced[present].mean(), rtol=1e-5)


def _drawn(shape, **options):
  rng = np.random.default_rng(0)
  hidden = np.broadcast_to(rng.normal(size=(1, 1, 4)), (*shape, 4)).astype(np.float32)
  table, bias = (rng.normal(size=s).astype(np.float32) for s in ((7, 4), (7,)))
  draw = jax.jit(lambda *arrays: draw_tokens(jax.random.key(1), *arrays, **options))
  return np.asarray(draw(hidden, table, bias)), table @ hidden[0, 0] + bias


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_tokens_are_drawn_from_the_softmax(temperature):
  drawn, logits = _drawn((200, 50), temperature=temperature)
  expected = softmax(logits / temperature)
  shares = np.bincount(drawn.ravel(), minlength=7) / drawn.size
  np.testing.assert_allclose(shares, expected, atol=4 * np.sqrt(0.25 / drawn.size))


def test_draws_do_not_depend_on_chunks_or_the_batch_size():
  whole = _drawn((6, 5))[0]
  for chunk_size in (1, 7, 12, 100):
    np.testing.assert_array_equal(_drawn((6, 5), chunk_size=chunk_size)[0], whole)
  np.testing.assert_array_equal(_drawn((2, 5))[0], whole[:2])


def test_a_low_temperature_draws_the_most_likely():
  drawn, logits = _drawn((4, 5), temperature=1e-3)
  assert (drawn == logits.argmax()).all()


def test_the_chunked_loss_is_the_same():
  plain, chunked = (tiny.run(tiny.electra(chunk_size=size), tiny.texts()) for size in (None, 5))
  np.testing.assert_allclose(plain.metrics["loss"], chunked.metrics["loss"], rtol=1e-5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), plain.gradient, chunked.gradient
  )


def test_tables_are_stored_once_and_the_encoder_is_the_discriminator():
  objective = tiny.electra()
  done = tiny.run(objective, tiny.texts())
  assert set(done.params) == {"encoder", "generator", "head", "detector"}
  assert set(done.params["generator"]) == {"embedding_projection", "blocks"}
  module = nnx.merge(done.graphdef, done.params, done.extras)
  assert objective.encoder(module) is module.encoder
  assert module.encoder.embed_dim == 16


def test_gradients_reach_every_parameter():
  done = tiny.run(tiny.electra(mask_rate=0.4), tiny.texts())
  assert not tiny.without_gradient(done.gradient)


def test_the_generator_gets_no_gradient_from_the_discriminator():
  batch = tiny.texts()
  ones, fifties = (tiny.run(tiny.electra(discriminator_weight=w), batch) for w in (1.0, 50.0))
  for part in ("generator", "head"):
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
      ones.gradient[part],
      fifties.gradient[part],
    )
  tables = [done.gradient["encoder"]["token_embedding"] for done in (ones, fifties)]
  assert abs(tables[0] - tables[1]).max() > 1e-4  # both losses shape the shared tables


def test_without_its_weight_the_loss_is_the_generators():
  metrics = tiny.metrics_of(tiny.electra(discriminator_weight=0.0), tiny.texts())
  np.testing.assert_allclose(metrics["loss"], metrics["masked_loss"], rtol=1e-6)


def test_overfits_one_batch():
  first, last = tiny.overfit(tiny.electra(), tiny.texts(), num_steps=150)
  assert first["masked_loss"] > 3 and last["masked_loss"] < 0.5
  assert last["detection_loss"] < 0.1 and last["detection_accuracy"] > 0.95
  assert 0 < last["feature_std"] < 1.5


def test_refuses_what_does_not_fit():
  with pytest.raises(ValueError, match="temperature=0.0: expected above 0"):
    tiny.electra(temperature=0.0)
  with pytest.raises(ValueError, match="discriminator_weight=-1.0: expected at least 0"):
    tiny.electra(discriminator_weight=-1.0)
  for changes, message in (
    ({"generator": {"embedding_dim": 8}}, "generator.embedding_dim: found 8, expected 16"),
    ({"generator": {"vocab_size": 30}}, "generator.vocab_size: found 30, expected 29"),
    ({"head": {"embed_dim": 16}}, "head.embed_dim: found 16, expected 8"),
    ({"head": {"embedding_dim": 8}}, "head.embedding_dim: found 8, expected 16"),
    ({"detector": {"num_classes": 2}}, "detector.num_classes: found 2, expected 1"),
  ):
    with pytest.raises(UserError, match=message):
      nnx.eval_shape(lambda changes=changes: tiny.electra(**changes).init(rngs=nnx.Rngs(0)))
