"""Extractive question answering: where in a context the answer to a question stands."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.config.follow import Follows, equals
from pretrainjax.errors import UserError
from pretrainjax.losses.cross_entropy import accuracy, cross_entropy
from pretrainjax.losses.tokens import token_mean
from pretrainjax.objectives.base import Objective, Towers, expect
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.objectives.supervised.tuning import Tune, check_text, encode, trains
from pretrainjax.types import Batch, Encoded, Metrics


class SpanFinder(Towers):
  """An encoder and a head of two outputs a token: the answer begins, or ends, with it."""

  def logits(self, features: Float[Array, "B T D"], **kwargs) -> Float[Array, "B T 2"]:
    """Scores of all tokens of a row, "start" and "end"; keyword arguments are the head's."""
    return self.head(features, **kwargs)


@dataclasses.dataclass(frozen=True)
class QuestionAnswering(Objective):
  """Finds the answer in rows [CLS] question [SEP] context [SEP] ("span" of the batch).

      loss = mean over rows of (cross_entropy(start, span_0) + cross_entropy(end, span_1)) / 2
      start_t, end_t = head(encoder(row).tokens)_t

  The softmax is over the tokens of the row. A row that does not hold the answer has the span
  (0, 0), [CLS]; one of which nobody knows has (-1, -1), and is left out.

  Args:
    backbone: makes the encoder of texts.
    head: makes the network from features of tokens to two outputs, such as a `Head` of
      `num_classes` 2.
    tune: "full" trains all; "linear" trains the head alone, see `tuning.encode`.

  Reference: BERT, arXiv 1810.04805, sections 4.2 and 4.3. Ours differs in that padding has no part
  in the softmax, so that a row's loss does not depend on how long its batch is.

  >>> import functools
  >>> from pretrainjax.models.bert import BERT
  >>> from pretrainjax.models.heads import Head
  >>> sizes = {"vocab_size": 30, "max_length": 12, "num_layers": 1, "num_heads": 2, "mlp_dim": 16}
  >>> objective = QuestionAnswering(
  ...   backbone=functools.partial(BERT, embed_dim=8, **sizes),
  ...   head=functools.partial(Head, in_dim=8, num_classes=2),
  ... )
  >>> module = objective.init(rngs=nnx.Rngs(0))
  >>> row = jnp.ones((1, 12), int)
  >>> batch = {"tokens": row, "segments": row, "types": row, "span": jnp.array([[3, 4]])}
  >>> loss, metrics = objective.loss(module, batch, rngs=nnx.Rngs(1), step=0)
  >>> print(loss)  # a new head finds all of 12 tokens alike: log(12)
  2.4849067
  """

  backbone: Callable
  head: Callable
  tune: Tune = "full"

  follows: ClassVar[Follows] = {"head.in_dim": equals("objective.backbone.embed_dim")}

  def init(self, *, rngs: nnx.Rngs) -> SpanFinder:
    encoder, head = self.backbone(rngs=rngs), self.head(rngs=rngs)
    expect("objective.head.in_dim", head.in_dim, encoder.embed_dim)
    expect("objective.head.num_classes", head.num_classes, 2)
    expect(
      "objective.head.batch_norm", getattr(head, "norm", None) is not None, False
    )  # padding would count
    return SpanFinder(encoder=encoder, head=head)

  def check(self, data: Any) -> None:
    if not data.has("span"):
      raise UserError("config.data: found no spans, expected questions with answers in a context")
    if (pair := getattr(data, "pair", "joint")) != "joint":
      raise UserError(f"config.data.pair: found '{pair}', expected 'joint': both texts in one row")
    check_text(self.backbone, data)

  def predictions(self, module: nnx.Module, encoded: Encoded) -> dict[str, Float[Array, "B T 2"]]:
    return {"logits": module.logits(encoded.tokens, deterministic=True)}

  def is_trained(self, path: tuple[str, ...]) -> bool:
    return trains(path, tune=self.tune)

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    encoded = encode(module.encoder, module.encoder.inputs(batch), tune=self.tune, rngs=rngs)
    logits = module.logits(encoded.tokens, deterministic=False, rngs=rngs)
    start, end = (_of_tokens(logits[..., i], encoded.valid) for i in (0, 1))
    first, last = (jnp.maximum(batch["span"][:, i], 0) for i in (0, 1))
    known = (batch["span"][:, 0] >= 0).astype(jnp.float32)
    losses = (cross_entropy(start, first) + cross_entropy(end, last)) / 2
    hits = accuracy(start, first) * accuracy(end, last)
    loss = token_mean(losses, known)
    metrics = {"accuracy": token_mean(hits, known), "feature_std": feature_std(encoded.pooled)}
    return loss, {"loss": loss, **metrics}


def _of_tokens(logits: Float[Array, "B T"], valid: Bool[Array, "B T"]) -> Float[Array, "B T"]:
  """Logits that leave padding out; finite, for gradients."""
  return jnp.where(valid, logits, jnp.finfo(jnp.float32).min)
