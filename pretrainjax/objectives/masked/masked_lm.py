"""Masked language modelling: predict hidden tokens from those around them."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.config.follow import Follows, equals, takes
from pretrainjax.errors import UserError
from pretrainjax.losses.tokens import token_weights
from pretrainjax.losses.vocabulary import vocabulary_loss
from pretrainjax.models.layers.pool import mean_pool
from pretrainjax.objectives.base import Objective, Towers, expect
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.objectives.masked.corruption import corrupt, pick
from pretrainjax.objectives.tokenizer_check import check_vocabulary
from pretrainjax.ranges import Fraction, NonNegativeInt, OpenFraction, PositiveInt, check_ranges
from pretrainjax.types import Batch, Metrics


@dataclasses.dataclass(frozen=True)
class MaskedLM(Objective):
  """Masked language modelling on text "B T".

      loss = mean over chosen tokens of -log softmax(table head(encoder(corrupted)) + bias)[token]

  Args:
    backbone: makes the encoder, which has a `token_embedding`.
    head: makes the network from tokens to the vocabulary, a `MaskedLMHead`.
    mask_rate: share of the tokens that are predicted, in (0, 1).
    random_share: the share of the chosen tokens that a random one replaces.
    keep_share: the share of the chosen tokens that stay as they are; all others become [MASK].
    whole_words: choose whole words; the data must say where they start ("starts").
    special_ids: ids of tokens that are neither predicted nor put in.
    mask_id: the id of [MASK].
    chunk_size: most predictions whose logits are held at once; None holds all.

  Reference: BERT, arXiv 1810.04805, section 3.1, without the prediction of the next sentence
  (RoBERTa, arXiv 1907.11692, section 4.2). Ours differs in that each row has its exact share of
  predictions, and in that new ones are chosen each time (RoBERTa's "dynamic masking").

  >>> import functools
  >>> from pretrainjax.models.bert import BERT
  >>> from pretrainjax.models.lm_head import MaskedLMHead
  >>> sizes = {"max_length": 12, "num_layers": 1, "num_heads": 2, "mlp_dim": 16}
  >>> objective = MaskedLM(
  ...   backbone=functools.partial(BERT, vocab_size=30, embed_dim=8, **sizes),
  ...   head=functools.partial(MaskedLMHead, vocab_size=30, embed_dim=8),
  ... )
  >>> module = nnx.eval_shape(lambda: objective.init(rngs=nnx.Rngs(0)))
  >>> sorted(objective.parts(module))
  ['encoder', 'head']
  """

  backbone: Callable
  head: Callable
  mask_rate: OpenFraction = 0.15
  random_share: Fraction = 0.1
  keep_share: Fraction = 0.1
  whole_words: bool = False
  special_ids: tuple[NonNegativeInt, ...] = (0, 1, 2, 3, 4)
  mask_id: NonNegativeInt = 4
  chunk_size: PositiveInt | None = None

  follows: ClassVar[Follows] = {
    "head.embed_dim": equals("objective.backbone.embed_dim"),
    "head.vocab_size": equals("objective.backbone.vocab_size"),
    "special_ids": takes("prepared.special_ids"),
    "mask_id": takes("prepared.mask_id"),
  }

  inherited = ("encoder", "head")

  def __post_init__(self):
    check_ranges(self)
    if (total := self.random_share + self.keep_share) > 1:
      raise ValueError(f"random_share + keep_share: found {total}, expected at most 1")

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    encoder, head = self.backbone(rngs=rngs), self.head(rngs=rngs)
    expect("objective.head.embed_dim", head.embed_dim, encoder.embed_dim)
    expect("objective.head.embedding_dim", head.embedding_dim, encoder.token_embedding.shape[1])
    expect("objective.head.vocab_size", head.vocab_size, encoder.vocab_size)
    return Towers(encoder=encoder, head=head)

  def check(self, data: Any) -> None:
    check_vocabulary(self.backbone, data, special_ids=self.special_ids, mask_id=self.mask_id)

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    encoder, head = module.encoder, module.head
    text = encoder.inputs(batch)
    corrupted = corrupt(
      rngs.mask(),
      text,
      mask_rate=self.mask_rate,
      mask_id=self.mask_id,
      special_ids=self.special_ids,
      vocab_size=encoder.vocab_size,
      random_share=self.random_share,
      keep_share=self.keep_share,
      starts=self._starts(batch),
    )
    hidden = encoder.sequence(
      text._replace(tokens=corrupted.tokens), deterministic=False, rngs=rngs
    )
    # The head, the dearest part with a large vocabulary, sees chosen tokens only.
    predicted = head.transform(pick(hidden, corrupted.positions))
    scores = vocabulary_loss(
      predicted,
      encoder.token_embedding[...],
      corrupted.labels,
      weights=token_weights(corrupted.valid),
      bias=head.bias[...],
      chunk_size=self.chunk_size,
    )
    features = mean_pool(hidden, jnp.asarray(text.segments) > 0)
    return scores.loss, {
      "loss": scores.loss,
      "masked_accuracy": scores.correct,
      "feature_std": feature_std(features),
    }

  def _starts(self, batch: Batch) -> Bool[Array, "B T"] | None:
    if not self.whole_words:
      return None
    if "starts" not in batch:
      raise UserError(
        "config.data.word_starts: found False, expected True for config.objective.whole_words"
      )
    return jnp.asarray(batch["starts"])
