"""wav2vec 2.0: hidden frames find their own learned code among those of their utterance."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax import collectives
from pretrainjax.config.follow import Follows, equals
from pretrainjax.losses.in_utterance import distractors, in_utterance_contrast
from pretrainjax.losses.tokens import token_mean
from pretrainjax.masking import random_spans
from pretrainjax.models.layers.frames import Frames, silenced
from pretrainjax.objectives.base import Alarm, Objective, Towers, expect
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.ranges import (
  Fraction,
  NonNegativeFloat,
  OpenFraction,
  PositiveFloat,
  PositiveInt,
  check_ranges,
)
from pretrainjax.types import Batch, Metrics


@dataclasses.dataclass(frozen=True)
class Wav2Vec2Pretraining(Objective):
  """Contrast with quantised features, and a term that keeps all entries of the codebooks in use.

      loss = mean over hidden frames of -log( exp(cos(c_t, q_t) / T) / sum_q exp(cos(c_t, q) / T) )
             + a (G V - sum_g exp H(p_g)) / (G V) + f mean(features^2)

  q goes over q_t and `num_distractors` codes of other hidden frames of the same utterance; p_g is
  the mean over hidden frames of the softmax over the entries of codebook g, H its entropy.

  Args:
    backbone: makes the encoder, a `Wav2Vec2`.
    quantizer: makes the codebooks, a `ProductQuantizer`.
    start_rate: the odds that a span of hidden frames begins at a frame, in (0, 1).
    span_length: the frames of a span; spans may overlap.
    num_distractors: the number of codes that a frame is not to choose, K.
    temperature: T of the cosines.
    gumbel_start: the temperature of the Gumbel softmax at step 0.
    gumbel_end: the lowest that it falls to.
    gumbel_decay: the factor of it from a step to the next.
    diversity_weight: weight a of the codebooks' use.
    feature_weight: weight f of the squares of the convolutions' features.
    feature_gradient: the factor of the gradient that reaches the convolutions.

  Reference: arXiv 2006.11477; weights and schedules of the base model in the authors' code. Ours
  differs in that each frame begins a span with the same odds, see `masking.random_spans`.

  >>> import functools
  >>> from pretrainjax.models.product_quantizer import ProductQuantizer
  >>> from pretrainjax.models.wav2vec2 import Wav2Vec2
  >>> sizes = {"embed_dim": 16, "num_layers": 1, "num_heads": 2, "mlp_dim": 8}
  >>> objective = Wav2Vec2Pretraining(
  ...   backbone=functools.partial(Wav2Vec2, **sizes),
  ...   quantizer=functools.partial(ProductQuantizer, in_dim=512, embed_dim=16),
  ... )
  >>> module = nnx.eval_shape(lambda: objective.init(rngs=nnx.Rngs(0)))
  >>> sorted(objective.parts(module))
  ['encoder', 'quantizer']
  """

  backbone: Callable
  quantizer: Callable
  start_rate: OpenFraction = 0.065
  span_length: PositiveInt = 10
  num_distractors: PositiveInt = 100
  temperature: PositiveFloat = 0.1
  gumbel_start: PositiveFloat = 2.0
  gumbel_end: PositiveFloat = 0.5
  gumbel_decay: Fraction = 0.999995
  diversity_weight: NonNegativeFloat = 0.1
  feature_weight: NonNegativeFloat = 10.0
  feature_gradient: Fraction = 0.1

  recipes: ClassVar = {"encoder": "backbone"}
  inherited: ClassVar[tuple[str, ...]] = ("encoder", "quantizer")
  follows: ClassVar[Follows] = {
    "quantizer.in_dim": equals("objective.backbone.feature_dim"),
    "quantizer.embed_dim": equals("objective.backbone.embed_dim"),
  }
  alarms: ClassVar = {
    "code_perplexity": Alarm(2.0, "the codebooks have collapsed: nearly all frames have one code"),
  }

  def __post_init__(self):
    check_ranges(self)

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    encoder, quantizer = self.backbone(rngs=rngs), self.quantizer(rngs=rngs)
    expect("objective.quantizer.in_dim", quantizer.in_dim, encoder.feature_dim)
    expect("objective.quantizer.embed_dim", quantizer.embed_dim, encoder.embed_dim)
    return Towers(encoder=encoder, quantizer=quantizer)

  def gumbel_temperature(self, step: int | Int[Array, ""]) -> Float[Array, ""]:
    """The temperature of the Gumbel softmax after so many steps."""
    fallen = self.gumbel_start * self.gumbel_decay ** jnp.asarray(step, jnp.float32)
    return jnp.maximum(fallen, self.gumbel_end)

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    encoder, quantizer = module.encoder, module.quantizer
    raw = encoder.convolved(encoder.inputs(batch))
    raw = raw._replace(features=_with_gradient(raw.features, self.feature_gradient))
    frames = encoder.normalised(raw)
    spans = {"start_rate": self.start_rate, "span_length": self.span_length}
    hidden = random_spans(rngs.mask(), frames.valid, **spans)
    random = {"deterministic": False, "rngs": rngs}
    encoded = encoder.encode(frames, masked=hidden, **random)
    temperature = self.gumbel_temperature(step)
    found = quantizer(frames.features, temperature=temperature, **random)
    places = distractors(rngs.sample(), hidden, count=self.num_distractors)
    tokens = quantizer.compared(encoded.tokens)
    how = {"temperature": self.temperature}
    scores = in_utterance_contrast(tokens, found.codes, found.numbers, places, **how)
    counted = hidden & (jnp.sum(hidden, axis=1, keepdims=True) > 1)  # others to choose from
    contrast = token_mean(scores.loss, counted)
    unused, used = unused_share(found.probabilities, hidden)
    penalty = _mean_square(raw)
    loss = contrast + self.diversity_weight * unused + self.feature_weight * penalty
    return loss, {
      "loss": loss,
      "contrastive_loss": contrast,
      "contrastive_accuracy": token_mean(scores.correct, counted),
      "diversity_loss": unused,
      "code_perplexity": used,
      "gumbel_temperature": temperature,
      "feature_std": feature_std(encoded.pooled),
    }


def unused_share(
  probabilities: Float[Array, "B N G V"], hidden: Bool[Array, "B N"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
  """The share of the codebooks' entries that are not in use, and the perplexity of a codebook.

      (G V - sum_g exp H(p_g)) / (G V),   and the mean over g of exp H(p_g)

  Args:
    probabilities: the share of each entry, frame by frame.
    hidden: True for the frames that count.
  """
  weights = hidden.astype(jnp.float32)
  total = jnp.einsum("bngv,bn->gv", probabilities, weights)
  total, count = collectives.mean((total, jnp.sum(weights)))
  share = total / jnp.maximum(count, 1e-6)
  entropy = -jnp.sum(share * jnp.log(jnp.maximum(share, 1e-7)), axis=-1)
  perplexity = jnp.mean(jnp.exp(entropy))
  return 1 - perplexity / share.shape[-1], perplexity


def _with_gradient(x: Float[Array, "B N C"], factor: float) -> Float[Array, "B N C"]:
  """The same numbers, whose gradient is multiplied."""
  return factor * x + (1 - factor) * jax.lax.stop_gradient(x)


def _mean_square(frames: Frames) -> Float[Array, ""]:
  """The mean of the squares of real frames' features, over all devices."""
  squares = jnp.mean(jnp.square(silenced(frames).astype(jnp.float32)), axis=-1)
  return token_mean(squares, frames.valid)
