"""Causal language modelling: predict each token from those before it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.losses.tokens import token_weights
from pretrainjax.losses.vocabulary import vocabulary_loss
from pretrainjax.models.layers.pool import mean_pool
from pretrainjax.objectives.base import Objective, Towers
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.objectives.tokenizer_check import check_vocabulary
from pretrainjax.ranges import PositiveInt, check_ranges
from pretrainjax.types import Batch, Encoded, Metrics


@dataclasses.dataclass(frozen=True)
class CausalLM(Objective):
  """Causal language modelling on text "B T": next tokens of a document, its [SEP] among them.

      loss = mean over t of -log p(token_t | tokens_(<t) of the same document)

  The mean is over all predicted tokens of the batch. Where a batch has "scored", only tokens that
  are True there count as predicted: fine-tuning on responses to prompts.

  Args:
    backbone: makes the encoder, a `GPT` or `Llama`.
    chunk_size: tokens whose logits are held at once, see `losses.vocabulary`; None holds all.

  Reference: GPT-2 (Radford et al. 2019). Ours differs in that documents of a row do not see each
  other.

  >>> import functools
  >>> from pretrainjax.models.gpt import GPT
  >>> sizes = {"vocab_size": 30, "max_length": 12, "num_layers": 1, "num_heads": 2, "mlp_dim": 16}
  >>> objective = CausalLM(backbone=functools.partial(GPT, embed_dim=8, **sizes))
  >>> module = nnx.eval_shape(lambda: objective.init(rngs=nnx.Rngs(0)))
  >>> sorted(objective.parts(module))
  ['encoder']
  """

  backbone: Callable
  chunk_size: PositiveInt | None = 1024

  def __post_init__(self):
    check_ranges(self)

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    return Towers(encoder=self.backbone(rngs=rngs))

  def predictions(self, module: nnx.Module, encoded: Encoded) -> dict[str, Float[Array, "B V"]]:
    return {"logits": module.encoder.next_token_logits(encoded)}

  def check(self, data: Any) -> None:
    check_vocabulary(self.backbone, data)

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    encoder, text = module.encoder, module.encoder.inputs(batch)
    x = encoder.sequence(text, deterministic=False, rngs=rngs)
    predicted = predicted_tokens(text.segments, scored=batch.get("scored"))
    scores = vocabulary_loss(
      x,
      encoder.output_table,
      shifted(text.tokens),
      weights=token_weights(predicted),
      chunk_size=self.chunk_size,
    )
    features = mean_pool(x, jnp.asarray(text.segments) > 0)
    metrics = {"loss": scores.loss, "next_token_accuracy": scores.correct}
    return scores.loss, metrics | {"feature_std": feature_std(features)}


def shifted(values: Int[Array | np.ndarray, "B T"]) -> Int[Array, "B T"]:
  """Moves values one place to the left, so that each place has its next one's; the last gets 0."""
  # Nothing is cut off, so that features need no copy and lengths stay round numbers.
  return jnp.pad(values[:, 1:], ((0, 0), (0, 1)))


def predicted_tokens(
  segments: Int[Array | np.ndarray, "B T"],
  *,
  scored: Bool[Array | np.ndarray, "B T"] | None = None,
) -> Bool[Array, "B T"]:
  """A mask, True where the next token is one to predict.

  Args:
    segments: the document of each token; the first token of each document is given, not predicted.
    scored: True for tokens that count; None counts all.

  >>> predicted_tokens(jnp.array([[1, 1, 1, 2, 2, 0]])).astype(int).tolist()
  [[1, 1, 0, 1, 0, 0]]
  """
  following = shifted(segments)
  predicted = (following == segments) & (following > 0)
  return predicted if scored is None else predicted & (shifted(scored.astype(jnp.int32)) > 0)
