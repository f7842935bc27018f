"""ELECTRA: a small generator replaces tokens, and the encoder tells which ones."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from pretrainjax import collectives
from pretrainjax.config.follow import Follows, equals, takes
from pretrainjax.losses.tokens import token_mean, token_weights
from pretrainjax.losses.vocabulary import WeightedScores, vocabulary_loss
from pretrainjax.models.layers.pool import mean_pool
from pretrainjax.objectives.base import Objective, Towers, expect
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.objectives.masked.corruption import (
  Corrupted,
  corrupt,
  example_uniform,
  fill,
  pick,
)
from pretrainjax.objectives.tokenizer_check import check_vocabulary
from pretrainjax.ranges import (
  Fraction,
  NonNegativeFloat,
  NonNegativeInt,
  OpenFraction,
  PositiveFloat,
  PositiveInt,
  check_ranges,
)
from pretrainjax.types import Batch, Metrics, Text

# What a generator takes from the encoder.
_SHARED = ("token_embedding", "position_table", "type_embedding", "embedding_norm")


@dataclasses.dataclass(frozen=True)
class Electra(Objective):
  """ELECTRA's replaced token detection on text "B T".

      loss = cross_entropy(head(generator(masked)), chosen tokens)
        + discriminator_weight * binary_cross_entropy(detector(encoder(filled)), filled != tokens)

  `filled` has tokens drawn from the generator, at `temperature`, where `masked` has [MASK].

  Args:
    backbone: makes the encoder, the discriminator, a `BERT`.
    generator: makes the other network, a narrower `BERT` whose tables are those of the encoder.
    head: makes the network from the generator's tokens to the vocabulary, a `MaskedLMHead`.
    detector: makes the network from the encoder's tokens to one logit, that it was replaced; a
      `Head` whose hidden layer is as wide as the encoder.
    mask_rate: share of the tokens that the generator predicts, in (0, 1).
    keep_share: the share of these that it sees; all others are [MASK]. (The authors' code: 0.15.)
    discriminator_weight: weight of the detection's loss beside the generator's, 0 or above.
    temperature: what the generator's logits are divided by when tokens are drawn, above 0.
    special_ids: ids of tokens that are neither predicted nor put in by chance.
    mask_id: the id of [MASK].
    chunk_size: most predictions whose logits are held at once; None holds all.

  Reference: arXiv 2003.10555, section 2 and appendix A. Token, position and type embeddings are
  shared and so, as in the authors' code, is the layer norm over them. The generator's choice gets
  no gradient.

  >>> from pretrainjax.models.bert import BERT
  >>> from pretrainjax.models.heads import Head
  >>> from pretrainjax.models.lm_head import MaskedLMHead
  >>> bert = functools.partial(BERT, vocab_size=30, max_length=12, num_layers=1, num_heads=2)
  >>> objective = Electra(
  ...   backbone=functools.partial(bert, embed_dim=8, mlp_dim=16),
  ...   generator=functools.partial(bert, embed_dim=4, mlp_dim=8, embedding_dim=8),
  ...   head=functools.partial(MaskedLMHead, vocab_size=30, embed_dim=4, embedding_dim=8),
  ...   detector=functools.partial(Head, in_dim=8, num_classes=1),
  ... )
  >>> module = nnx.eval_shape(lambda: objective.init(rngs=nnx.Rngs(0)))
  >>> sorted(objective.parts(module))
  ['detector', 'encoder', 'generator', 'head']
  """

  backbone: Callable
  generator: Callable
  head: Callable
  detector: Callable
  mask_rate: OpenFraction = 0.15
  keep_share: Fraction = 0.0
  discriminator_weight: NonNegativeFloat = 50.0
  temperature: PositiveFloat = 1.0
  special_ids: tuple[NonNegativeInt, ...] = (0, 1, 2, 3, 4)
  mask_id: NonNegativeInt = 4
  chunk_size: PositiveInt | None = None

  follows: ClassVar[Follows] = {
    "generator.vocab_size": equals("objective.backbone.vocab_size"),
    "generator.max_length": equals("objective.backbone.max_length"),
    "generator.num_types": equals("objective.backbone.num_types"),
    "head.embed_dim": equals("objective.generator.embed_dim"),
    "head.vocab_size": equals("objective.backbone.vocab_size"),
    "detector.in_dim": equals("objective.backbone.embed_dim"),
    "special_ids": takes("prepared.special_ids"),
    "mask_id": takes("prepared.mask_id"),
  }

  def __post_init__(self):
    check_ranges(self)

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    encoder, generator = self.backbone(rngs=rngs), self.generator(rngs=rngs)
    head, detector = self.head(rngs=rngs), self.detector(rngs=rngs)
    for name in ("vocab_size", "max_length", "num_types", "embedding_dim"):
      expect(f"objective.generator.{name}", getattr(generator, name), getattr(encoder, name))
    expect("objective.head.embed_dim", head.embed_dim, generator.embed_dim)
    expect("objective.head.embedding_dim", head.embedding_dim, encoder.embedding_dim)
    expect("objective.head.vocab_size", head.vocab_size, encoder.vocab_size)
    expect("objective.detector.in_dim", detector.in_dim, encoder.embed_dim)
    expect("objective.detector.num_classes", detector.num_classes, 1)
    for name in _SHARED:
      setattr(generator, name, None)
    return Towers(encoder=encoder, generator=generator, head=head, detector=detector)

  def check(self, data: Any) -> None:
    check_vocabulary(self.backbone, data, special_ids=self.special_ids, mask_id=self.mask_id)

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    encoder, text = module.encoder, module.encoder.inputs(batch)
    tokens, valid = jnp.asarray(text.tokens), jnp.asarray(text.segments) > 0
    corrupted = corrupt(
      rngs.mask(),
      text,
      mask_rate=self.mask_rate,
      mask_id=self.mask_id,
      special_ids=self.special_ids,
      vocab_size=encoder.vocab_size,
      keep_share=self.keep_share,
    )
    scores, drawn = self._generate(module, text, corrupted, rngs)
    drawn = jnp.where(corrupted.valid, drawn, corrupted.labels)
    filled = fill(tokens, corrupted.positions, drawn)
    is_replaced = filled != tokens

    hidden = encoder.sequence(text._replace(tokens=filled), deterministic=False, rngs=rngs)
    logits = module.detector(hidden, deterministic=False, rngs=rngs)[..., 0]
    detection = optax.sigmoid_binary_cross_entropy(logits, is_replaced.astype(jnp.float32))
    weights = valid.astype(jnp.float32)
    detection_loss = token_mean(detection, weights)
    loss = scores.loss + self.discriminator_weight * detection_loss
    right = ((logits > 0) == is_replaced).astype(jnp.float32)
    return loss, {
      "loss": loss,
      "masked_loss": scores.loss,
      "masked_accuracy": scores.correct,
      "detection_loss": detection_loss,
      "detection_accuracy": token_mean(right, weights),
      "replaced_share": token_mean(is_replaced.astype(jnp.float32), weights),
      "feature_std": feature_std(mean_pool(hidden, valid)),
    }

  def _generate(
    self, module: nnx.Module, text: Text, corrupted: Corrupted, rngs: nnx.Rngs
  ) -> tuple[WeightedScores, Int[Array, "B M"]]:
    """The generator's scores, and tokens drawn from it for the hidden places."""
    encoder, random = module.encoder, {"deterministic": False, "rngs": rngs}
    x = encoder.embed(text._replace(tokens=corrupted.tokens), **random)
    x = module.generator.transform(x, segments=text.segments, **random)
    predicted = module.head.transform(pick(x, corrupted.positions))
    table, bias = encoder.token_embedding[...], module.head.bias[...]
    scores = vocabulary_loss(
      predicted,
      table,
      corrupted.labels,
      weights=token_weights(corrupted.valid),
      bias=bias,
      chunk_size=self.chunk_size,
    )
    drawn = draw_tokens(
      rngs.sample(),
      *jax.lax.stop_gradient((predicted, table, bias)),
      temperature=self.temperature,
      chunk_size=self.chunk_size,
    )
    return scores, drawn


def draw_tokens(
  key: Key[Array, ""],
  hidden: Float[Array, "B M E"],
  table: Float[Array, "V E"],
  bias: Float[Array, " V"],
  *,
  temperature: float = 1.0,
  chunk_size: int | None = None,
) -> Int[Array, "B M"]:
  """Draws a token for each place from softmax((hidden table^T + bias) / temperature).

  By one random number a place and the cumulated probabilities; Gumbel noise, V numbers a place,
  has the same distribution and took four times as long on a CPU.

  Args:
    key: the step's key for samples, equal on all devices.
    hidden: features of places, which are multiplied with the table.
    table: one row a token of the vocabulary.
    bias: one number a token of the vocabulary.
    temperature: what the logits are divided by, above 0.
    chunk_size: most places of a device whose logits are held at once (at least one of each row).
  """
  level = example_uniform(key, hidden.shape[:2])

  def here(hidden, level, table, bias) -> Int[Array, "B M"]:
    batch_size, num_places, width = hidden.shape
    draw = functools.partial(_draw, table=table, bias=bias, temperature=temperature)
    if chunk_size is None or chunk_size >= batch_size * num_places:
      drawn = draw(hidden.reshape(-1, width), level.reshape(-1))
      return drawn.reshape(batch_size, num_places)
    by_place = (jnp.swapaxes(hidden, 0, 1), jnp.swapaxes(level, 0, 1))  # M B ...
    places = max(1, chunk_size // batch_size)
    return jax.lax.map(lambda part: draw(*part), by_place, batch_size=places).T

  return collectives.by_rows(here, hidden, level, whole=(table, bias))


def _draw(
  hidden: Float[Array, "M E"],
  level: Float[Array, " M"],
  *,
  table: Float[Array, "V E"],
  bias: Float[Array, " V"],
  temperature: float,
) -> Int[Array, " M"]:
  logits = jnp.einsum(
    "me,ve->mv", hidden, table.astype(hidden.dtype), preferred_element_type=jnp.float32
  )
  odds = jax.nn.softmax((logits + bias[None]) / temperature)
  total = jnp.cumsum(odds, axis=1)
  below = jnp.sum(total < level[:, None] * total[:, -1:], axis=1)
  return jnp.minimum(below, len(table) - 1)
