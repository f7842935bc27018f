import dataclasses
import functools
import math

import numpy as np
import pytest
from fake_encoders import identity
from fake_texts import ArrayTexts, TinyText, random_texts, text_of, word_tokenizer
from flax import nnx

from pretrainjax.evaluators.ngram import fit_ngram, log_probabilities
from pretrainjax.evaluators.perplexity import Perplexity
from pretrainjax.models.gpt import GPT
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.objectives.autoregressive.causal_lm import CausalLM
from pretrainjax.objectives.base import Towers
from pretrainjax.predict.embedding import padded

TOKENIZER = word_tokenizer("a b c d e f g h i j k l m n o")


class TinyCausal(TinyText):
  """Sees each token and the one before it, and has a table of its own for what comes next."""

  def __init__(self, *, rngs: nnx.Rngs):
    super().__init__(rngs=rngs)
    self.table = nnx.Param(nnx.initializers.normal(1.0)(rngs(), (20, 8)))

  @property
  def output_table(self):
    return self.table[...]


def causal():
  return Towers(encoder=TinyCausal(rngs=nnx.Rngs(0)))


def masked():
  head = MaskedLMHead(embed_dim=8, vocab_size=20, init_std=0.5, rngs=nnx.Rngs(1))
  return Towers(encoder=TinyText(rngs=nnx.Rngs(0)), head=head)


def packed(count, *, seed=0):
  """Two documents a row and some padding; tokens that often follow each other."""
  first, second = (random_texts(count, seed=seed + i) for i in (0, 10))
  tokens = np.concatenate([first["tokens"], second["tokens"]], axis=1)
  segments = np.concatenate([first["segments"], 2 * second["segments"]], axis=1)
  place = np.argsort(segments == 0, axis=1, kind="stable")
  arrays = {"tokens": tokens, "segments": segments}
  return {name: np.take_along_axis(x, place, axis=1) for name, x in arrays.items()}


def texts(arrays, **changes):
  return ArrayTexts(arrays, tokenizer=TOKENIZER, **changes)


def log_softmax(logits):
  logits = np.asarray(logits, np.float64)
  return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def documents(arrays):
  """The documents of all rows, as lists of tokens."""
  for tokens, segments in zip(arrays["tokens"], arrays["segments"], strict=True):
    yield from (tokens[segments == s] for s in range(1, segments.max() + 1))


def test_causal_loss_is_that_of_each_document_alone():
  arrays, module = packed(21), causal()
  nats, hits, count, ordinary = 0.0, 0, 0, 0
  for document in documents(arrays):
    hidden = module.encoder.sequence(padded([document.tolist()], length=8))[0, : len(document)]
    logs = log_softmax(np.asarray(hidden) @ np.asarray(module.encoder.output_table).T)[:-1]
    nats -= logs[np.arange(len(logs)), document[1:]].sum()
    hits += (logs.argmax(1) == document[1:]).sum()
    count, ordinary = count + len(logs), ordinary + (document[1:] >= 5).sum()
  metrics = Perplexity(data=texts(arrays, bytes_per_token=4.0), head="causal").run(module)
  assert metrics["loss"] == pytest.approx(nats / count, rel=1e-5)
  assert metrics["perplexity"] == pytest.approx(math.exp(nats / count), rel=1e-5)
  assert metrics["accuracy"] == pytest.approx(hits / count)
  assert metrics["bits_per_byte"] == pytest.approx(nats / math.log(2) / (4 * ordinary), rel=1e-5)


def test_counting_models_stand_beside_it():
  train, held_out = packed(60, seed=1), packed(21)
  evaluator = Perplexity(data=texts(held_out), train=texts(train), head="causal", order=3)
  metrics = evaluator.run(causal())
  flat = {
    name: [np.concatenate(x) for x in zip(*_numbered(arrays), strict=True)]
    for name, arrays in (("train", train), ("test", held_out))
  }
  for name, order in (("unigram", 1), ("ngram", 3)):
    model = fit_ngram(*flat["train"], order=order, vocab_size=20)
    loss = -log_probabilities(model, *flat["test"]).mean()
    assert metrics[f"{name}_loss"] == pytest.approx(loss)
    ratio = metrics["bits_per_byte"] / metrics["loss"]
    assert metrics[f"{name}_bits_per_byte"] == pytest.approx(loss * ratio)
  assert metrics["unigram_loss"] < math.log(20)
  assert evaluator._counting is evaluator._counting  # counted once for all evaluations of a run


def _numbered(arrays):
  for number, document in enumerate(documents(arrays)):
    yield document, np.full(len(document), number)


def test_only_scored_tokens_count():
  arrays = packed(11)
  arrays["scored"] = np.random.default_rng(0).random(arrays["tokens"].shape) < 0.4
  data = texts(arrays)
  some = Perplexity(data=data, train=data, head="causal").run(causal())
  arrays["scored"] = ~arrays["scored"]
  others = Perplexity(data=data, train=data, head="causal").run(causal())
  del arrays["scored"]
  everything = Perplexity(data=data, train=data, head="causal").run(causal())
  for name in ("loss", "unigram_loss", "accuracy"):
    low, high = sorted((some[name], others[name]))
    assert low < everything[name] < high
  assert "bits_per_byte" in everything and "bits_per_byte" not in some


def test_masked_loss_is_that_of_hidden_tokens():
  arrays, module = packed(5), masked()
  metrics = Perplexity(data=texts(arrays), head="masked", mask_rate=0.01).run(module)
  # One token a row: all that one hidden token can be, and the loss must be among their means.
  losses = []
  for row in range(5):
    tokens, segments = arrays["tokens"][row], arrays["segments"][row]
    found = []
    for place in np.flatnonzero((tokens >= 5) & (segments > 0)):
      hidden = tokens.copy()
      hidden[place] = 4
      inputs = text_of({"tokens": hidden[None], "segments": segments[None]})
      logits = module.head(module.encoder.sequence(inputs), module.encoder.token_embedding[...])
      found.append(-log_softmax(logits[0, place])[tokens[place]])
    losses.append(found)
  sums = {0.0}
  for found in losses:
    sums = {total + loss for total in sums for loss in found}
  assert min(abs(np.array(sorted(sums)) / 5 - metrics["loss"])) < 1e-5
  assert "bits_per_byte" not in metrics


def test_gaps_depend_on_the_seed_and_not_on_the_batch():
  module, data = masked(), texts(packed(13))

  def loss(**changes):
    batch_size = changes.pop("batch_size", 8)
    other = dataclasses.replace(data, batch_size=batch_size)
    return Perplexity(data=other, head="masked", **changes).run(module)["loss"]

  assert loss() == pytest.approx(loss(batch_size=3), rel=1e-6)
  assert loss() == loss() != loss(seed=1)


def test_what_does_not_serve_is_refused():
  data = texts(packed(3))
  with pytest.raises(ValueError, match="head: found 'causal', but the run's model has no such"):
    Perplexity(data=data, head="causal").run(masked())
  with pytest.raises(ValueError, match="head: found 'masked'"):
    Perplexity(data=data, head="masked").run(identity())
  with pytest.raises(ValueError, match="train: found data, expected None"):
    Perplexity(data=data, train=data, head="masked")
  with pytest.raises(ValueError, match="mask_rate=1.0"):
    Perplexity(data=data, head="masked", mask_rate=1.0)
  single = texts({"tokens": np.full((2, 1), 2), "segments": np.ones((2, 1), int)})
  with pytest.raises(ValueError, match="found no token to predict"):
    Perplexity(data=single, head="causal").run(causal())


def test_protocol_names_what_the_head_uses():
  protocol = Perplexity(data=texts(packed(3)), head="masked").protocol()
  assert protocol["mask_rate"] == 0.15 and protocol["seed"] == 0 and "order" not in protocol
  assert "mask_rate" not in Perplexity(data=texts(packed(3)), head="causal").protocol()


def test_loss_is_the_objectives_own():
  sizes = {"vocab_size": 20, "max_length": 16, "embed_dim": 8, "num_layers": 1, "num_heads": 2}
  objective = CausalLM(backbone=functools.partial(GPT, **sizes, mlp_dim=16))
  module = objective.init(rngs=nnx.Rngs(0))
  arrays = packed(8)
  loss, metrics = objective.loss(module, arrays, rngs=nnx.Rngs(0), step=0)
  found = Perplexity(data=texts(arrays), head="causal", chunk_size=7).run(module)
  assert found["loss"] == pytest.approx(float(loss), rel=1e-5)
  assert found["accuracy"] == pytest.approx(float(metrics["next_token_accuracy"]), rel=1e-5)
