"""How well a language model predicts held-out text, beside n-gram models."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.evaluators.bar import batches_of
from pretrainjax.evaluators.base import Evaluation, Examples, Outcome, short_rows
from pretrainjax.evaluators.ngram import fit_ngram, log_probabilities, predicted
from pretrainjax.losses.vocabulary import vocabulary_cross_entropy
from pretrainjax.objectives.autoregressive.causal_lm import predicted_tokens, shifted
from pretrainjax.objectives.masked.corruption import corrupt, pick
from pretrainjax.ranges import OpenFraction, PositiveInt, Seed
from pretrainjax.types import Batch, Text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Perplexity(Evaluation):
  """Loss of a causal or masked language model on held-out text, without dropout.

  Metrics: "loss" in nats a predicted token, "perplexity" (its exponential) and "accuracy" of the
  likeliest token.

  Causal models: also "bits_per_byte", all predicted tokens' bits (those of a document's end among
  them) by the bytes of text that they stand for (of the split's mean). It can be compared across
  tokenizers, as long as these spell all text (no [UNK]). It is left out where only parts of the
  text are scored. Where `train` is given, the same numbers of a "unigram" and an "ngram" model
  fitted on it.

  Masked models: the numbers are those of hidden tokens given all others (pseudo-perplexity), to
  be compared only under the same vocabulary and `mask_rate`.

  Attributes:
    data: held-out text, best in blocks as the model was trained on.
    head: "causal" takes `module.encoder.output_table`; "masked" takes `module.head`, too.
    train: text to fit the counting models on, with the same tokenizer; None leaves them out.
    order: the order of the n-gram model, see `fit_ngram`.
    mask_rate: (masked) share of a row's tokens that are hidden, all of them by [MASK], in (0, 1).
    seed: (masked) chooses them, equally for any model.
    chunk_size: tokens whose logits are held at once, at least 1.

  Reference: bits per byte as in The Pile, arXiv 2101.00027, section 3.1.
  """

  name: str = "perplexity"
  data: Examples
  head: Literal["causal", "masked"]
  train: Examples | None = None
  order: PositiveInt = 5
  mask_rate: OpenFraction = 0.15
  seed: Seed = 0
  chunk_size: PositiveInt = 1024
  needs_module: ClassVar[bool] = True

  def __post_init__(self):
    super().__post_init__()
    if self.head == "masked" and self.train is not None:
      raise ValueError("train: found data, expected None with head='masked', which sees both sides")

  def check(self, subject: Any) -> None:
    """See `Evaluation`."""
    encoder, head = getattr(subject, "encoder", None), getattr(subject, "head", None)
    # Of the class: where arrays are abstract, the table itself cannot be made.
    fits = hasattr(type(encoder), "output_table") or hasattr(encoder, "output_table")
    if self.head == "masked":  # ELECTRA's is on its generator
      fits = hasattr(head, "transform") and not hasattr(subject, "generator")
    if not fits:
      raise ValueError(f"head: found '{self.head}', but the run's model has no such head")

  def outcome(self, subject: Any) -> Outcome:
    """See `Evaluation`."""
    self.check(subject)
    encoder = subject.encoder
    score = functools.partial(self._score, *nnx.split(subject))
    nats, hits, tokens, num_bytes = self._sums(encoder.inputs, score)
    if not tokens:
      raise ValueError("data: found no token to predict, expected some")
    if not math.isfinite(nats):
      raise ValueError("the loss is not finite: the parameters have diverged")
    metrics = _numbers(nats, tokens, num_bytes) | {"accuracy": hits / tokens}
    metrics["perplexity"] = math.exp(min(nats / tokens, 700.0))
    for name, other in self._counting.items():
      metrics |= {f"{name}_{k}": v for k, v in _numbers(other, tokens, num_bytes).items()}
    return Outcome(metrics)

  def protocol(self) -> dict[str, Any]:
    """See `Evaluation`."""
    unused = ("order",) if self.head == "masked" else ("mask_rate", "seed")
    protocol = {k: v for k, v in super().protocol().items() if k not in (*unused, "chunk_size")}
    return protocol | {"features": "none", "probe": "none: the model's own predictions"}

  def _sums(self, inputs: Callable[[Batch], Text], score: Callable[..., "_Scores"]) -> list[float]:
    """Nats, hits, predicted tokens, and the bytes that these stand for (0 where not known)."""
    tokenizer = self.data.tokenizer
    special = [i for i in tokenizer.special_ids if i != tokenizer.unknown_id]  # that is some text
    sums, row, in_parts = np.zeros(4), 0, False
    # Which tokens of a row are hidden depends on its length.
    batches = short_rows(self.data) if self.head == "causal" else self.data.one_pass()
    for batch in batches_of(self.data, what="losses", batches=batches):
      valid = np.asarray(batch["valid"])
      rows = np.arange(row, row + len(valid), dtype=np.uint32)
      found = _Scores(*map(np.asarray, score(inputs(batch), batch.get("scored"), rows)))
      counts = found.counts & valid[:, None]
      ordinary = ~np.isin(found.labels[counts], special)
      losses, hits = (x[counts].sum(dtype=np.float64) for x in (found.losses, found.hits))
      sums += [losses, hits, counts.sum(), ordinary.sum()]
      row, in_parts = row + len(valid), in_parts or "scored" in batch
    # What the bytes of the scored parts are, the data does not say.
    has_bytes = self.head == "causal" and not in_parts
    sums[3] *= getattr(self.data, "bytes_per_token", 0.0) if has_bytes else 0.0
    return sums.tolist()

  def _score(self, graphdef, state, text: Text, scored: Any, rows: np.ndarray) -> "_Scores":
    if self.head == "causal":
      return _causal(graphdef, state, text, scored, chunk_size=self.chunk_size)
    return _masked(
      graphdef,
      state,
      text,
      rows,
      np.uint32(self.seed),
      mask_rate=self.mask_rate,
      mask_id=self.data.tokenizer.mask_id,
      special_ids=tuple(self.data.tokenizer.special_ids),
      chunk_size=self.chunk_size,
    )

  @functools.cached_property
  def _counting(self) -> dict[str, float]:
    """The nats of all predicted tokens under the n-gram models, which no training changes."""
    if self.train is None:
      return {}
    tokens, documents, _ = _flat(self.train)
    held_out, held_out_documents, scored = _flat(self.data)
    scored = scored[predicted(held_out_documents)]
    nats = {}
    for name, order in (("unigram", 1), ("ngram", self.order)):
      model = fit_ngram(tokens, documents, order=order, vocab_size=self.data.tokenizer.vocab_size)
      logs = log_probabilities(model, held_out, held_out_documents)
      nats[name] = -float(logs[scored].sum())
    return nats


class _Scores(NamedTuple):
  """The loss of each predicted token, and whether it was right.

  Attributes:
    losses: in nats.
    hits: 1 where it was the likeliest.
    labels: what it was.
    counts: False where there was none.
  """

  losses: Float[Array | np.ndarray, "B M"]
  hits: Float[Array | np.ndarray, "B M"]
  labels: Int[Array | np.ndarray, "B M"]
  counts: Bool[Array | np.ndarray, "B M"]


def _numbers(nats: float, tokens: float, num_bytes: float) -> dict[str, float]:
  bits = {"bits_per_byte": nats / math.log(2) / num_bytes} if num_bytes else {}
  return {"loss": nats / tokens} | bits


@functools.partial(jax.jit, static_argnums=0, static_argnames="chunk_size")
def _causal(graphdef, state, text: Text, scored: Any, *, chunk_size: int) -> _Scores:
  encoder = nnx.merge(graphdef, state).encoder
  hidden, labels = encoder.sequence(text), shifted(text.tokens)
  losses, hits = vocabulary_cross_entropy(
    hidden.reshape(-1, hidden.shape[-1]),  # B T D -> B*T D
    encoder.output_table,
    labels.reshape(-1),
    chunk_size=chunk_size,
  )
  counts = predicted_tokens(text.segments, scored=scored)
  return _Scores(losses.reshape(labels.shape), hits.reshape(labels.shape), labels, counts)


@functools.partial(
  jax.jit,
  static_argnums=0,
  static_argnames=("mask_rate", "mask_id", "special_ids", "chunk_size"),
)
def _masked(graphdef, state, text: Text, rows, seed, *, chunk_size: int, **masking) -> _Scores:
  module = nnx.merge(graphdef, state)
  key = jax.random.key(seed)

  def hide(row, tokens, segments):
    """A row by itself, so that its gaps do not depend on the batch it is in."""
    alone = Text(tokens[None], segments[None])
    size = module.encoder.vocab_size
    hidden = corrupt(jax.random.fold_in(key, row), alone, vocab_size=size, **masking)
    return jax.tree.map(lambda x: x[0], hidden)

  corrupted = jax.vmap(hide)(rows, jnp.asarray(text.tokens), jnp.asarray(text.segments))
  hidden = module.encoder.sequence(text._replace(tokens=corrupted.tokens))
  picked = module.head.transform(pick(hidden, corrupted.positions))
  losses, hits = vocabulary_cross_entropy(
    picked.reshape(-1, picked.shape[-1]),  # B M E -> B*M E
    module.encoder.token_embedding[...],
    corrupted.labels.reshape(-1),
    bias=module.head.bias[...],
    chunk_size=chunk_size,
  )
  shape = corrupted.labels.shape
  return _Scores(losses.reshape(shape), hits.reshape(shape), corrupted.labels, corrupted.valid)


def _flat(
  data: Examples,
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
  """(token, number of its document, whether it counts) of all real tokens of a dataset."""
  parts, num_rows = [], 0
  for batch in batches_of(data, what="counts"):
    tokens, segments = np.asarray(batch["tokens"]), np.asarray(batch["segments"])
    rows = num_rows + np.arange(len(tokens))[:, None]
    real = (segments > 0) & np.asarray(batch["valid"])[:, None]
    scored = np.asarray(batch.get("scored", real))
    documents = rows * (tokens.shape[1] + 1) + segments
    parts.append([x[real] for x in (tokens, documents, scored)])
    num_rows += len(tokens)
  if not parts:
    raise ValueError("found no text, expected some")
  tokens, documents, scored = (np.concatenate(part) for part in zip(*parts, strict=True))
  return tokens, documents, scored
