import types

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_objectives as tiny
from flax import nnx

from pretrainjax.errors import UserError
from pretrainjax.objectives.masked.spans import cut_spans
from pretrainjax.types import Text


def test_loss_equals_the_reference():
  batch = tiny.texts()
  done = tiny.run(tiny.span_corruption(), batch)
  spans = cut_spans(
    nnx.Rngs(tiny.KEY).mask(),
    jnp.asarray(batch["tokens"]),
    jnp.asarray(batch["segments"] > 0),
    noise_density=0.3,
    mean_span_length=2.0,
    first_sentinel=5,
    sentinel_step=1,
    end_id=3,
  )

  def logits(module, inputs, valid, before):
    table = module.encoder.token_embedding[...]
    context = module.encoder.sequence(Text(inputs, valid.astype(jnp.int32)))
    hidden = module.decoder(before, context, valid=valid, table=table)
    return jnp.einsum("bsd,vd->bsv", hidden, module.decoder.scores_table(table))

  targets, scored = np.asarray(spans.targets), np.asarray(spans.targets_valid)
  before = np.pad(targets[:, :-1], ((0, 0), (1, 0)))
  found = tiny.call(done, logits, spans.inputs, spans.inputs_valid, before)
  found = np.asarray(found, np.float64)[scored]
  labels = targets[scored]
  losses = np.log(np.exp(found).sum(-1)) - found[np.arange(len(labels)), labels]
  np.testing.assert_allclose(done.metrics["loss"], losses.mean(), rtol=1e-4)
  hits = (found.argmax(-1) == labels).mean()
  np.testing.assert_allclose(done.metrics["target_accuracy"], hits, atol=1e-5)


def test_gradients_reach_every_parameter():
  assert not tiny.without_gradient(tiny.run(tiny.span_corruption(), tiny.texts()).gradient)


def test_overfits_one_batch():
  first, last = tiny.overfit(tiny.span_corruption(), tiny.texts(), num_steps=120)
  assert first["loss"] > 2.5 and last["loss"] < 0.3
  assert last["target_accuracy"] > 0.9


def test_refuses_what_does_not_fit():
  with pytest.raises(ValueError, match=r"noise_density=1.0: expected in \(0, 1\)"):
    tiny.span_corruption(noise_density=1.0)
  with pytest.raises(ValueError, match="mean_span_length=0.5: expected at least 1"):
    tiny.span_corruption(mean_span_length=0.5)
  with pytest.raises(UserError, match="decoder.embed_dim: found 8, expected 16"):
    nnx.eval_shape(lambda: tiny.span_corruption(embed_dim=8).init(rngs=nnx.Rngs(0)))


def test_a_tokenizer_needs_sentinels_enough():
  names = {"pad_id": 0, "unknown_id": 1, "begin_id": 2, "end_id": 3, "mask_id": 4}

  def data(*sentinels, length=12, **changes):
    tokenizer = types.SimpleNamespace(**(names | changes), sentinel_ids=sentinels, vocab_size=29)
    return types.SimpleNamespace(tokenizer=tokenizer, length=length)

  tiny.span_corruption().check(data(5, 6, 7))
  with pytest.raises(UserError, match="rows of 12 tokens need 2 sentinels from 5 on"):
    tiny.span_corruption().check(data(5))
  with pytest.raises(UserError, match="need 2 sentinels from 5 on, but .* from 9 on"):
    tiny.span_corruption().check(data(9, 10, 11))
  with pytest.raises(UserError, match="end_id: found 3, expected 1"):
    tiny.span_corruption().check(data(5, 6, 7, end_id=1))
