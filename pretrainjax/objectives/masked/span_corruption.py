"""T5's span corruption: predict the spans that were cut out of a text."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.config.follow import Follows, equals, takes
from pretrainjax.errors import UserError
from pretrainjax.losses.tokens import token_weights
from pretrainjax.losses.vocabulary import vocabulary_loss
from pretrainjax.models.layers.pool import mean_pool
from pretrainjax.objectives.base import Objective, Towers, expect
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.objectives.masked.spans import cut_spans, span_sizes
from pretrainjax.objectives.tokenizer_check import check_vocabulary
from pretrainjax.ranges import NonNegativeInt, OpenFraction, PositiveInt, Range, check_ranges
from pretrainjax.types import Batch, Metrics, Text


@dataclasses.dataclass(frozen=True)
class SpanCorruption(Objective):
  """T5's span corruption on text "B T".

  A row is taken as one text, also where it holds several documents, as T5 does with documents
  that it joins: spans and attention cross their borders. [SEP] between them may be cut out like any
  token, so that a target's end is its last [SEP], not its first.

      inputs = the text with a sentinel in place of each span; targets = each sentinel and its span
      loss = mean over t of -log p(targets_t | targets_(<t), inputs)

  Args:
    backbone: makes the encoder, a `T5Encoder`.
    decoder: makes the network from cut texts to the spans, a `T5Decoder`.
    noise_density: share of tokens that are cut out, in (0, 1).
    mean_span_length: mean number of tokens of a span, at least 1.
    first_sentinel: the id that stands for a row's first span.
    sentinel_step: the step from one sentinel's id to the next: 1 in our tokenizers, -1 in T5's.
    end_id: the id of [SEP], which ends both texts.
    start_id: the id of [PAD], which the decoder starts with.
    chunk_size: tokens whose logits are held at once, see `losses.vocabulary`; None holds all.

  Reference: arXiv 1910.10683, section 3.1.4.

  >>> import functools
  >>> from pretrainjax.models.t5 import T5Decoder, T5Encoder
  >>> sizes = {"vocab_size": 30, "embed_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 16}
  >>> objective = SpanCorruption(
  ...   backbone=functools.partial(T5Encoder, head_dim=4, **sizes),
  ...   decoder=functools.partial(T5Decoder, head_dim=4, **sizes),
  ... )
  >>> module = nnx.eval_shape(lambda: objective.init(rngs=nnx.Rngs(0)))
  >>> sorted(objective.parts(module))
  ['decoder', 'encoder']
  """

  backbone: Callable
  decoder: Callable
  noise_density: OpenFraction = 0.15
  mean_span_length: Annotated[float, Range(1)] = 3.0
  first_sentinel: NonNegativeInt = 5
  sentinel_step: Literal[1, -1] = 1
  end_id: NonNegativeInt = 3
  start_id: NonNegativeInt = 0
  chunk_size: PositiveInt | None = 1024

  follows: ClassVar[Follows] = {
    "decoder.embed_dim": equals("objective.backbone.embed_dim"),
    "decoder.vocab_size": equals("objective.backbone.vocab_size"),
    "first_sentinel": takes("prepared.first_sentinel"),
    "sentinel_step": takes("prepared.sentinel_step"),
    "end_id": takes("prepared.end_id"),
    "start_id": takes("prepared.pad_id"),
  }

  inherited = ("encoder", "decoder")

  def __post_init__(self):
    check_ranges(self)

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    encoder, decoder = self.backbone(rngs=rngs), self.decoder(rngs=rngs)
    expect("objective.decoder.embed_dim", decoder.embed_dim, encoder.embed_dim)
    expect("objective.decoder.vocab_size", decoder.vocab_size, encoder.vocab_size)
    return Towers(encoder=encoder, decoder=decoder)

  def check(self, data: Any) -> None:
    check_vocabulary(self.backbone, data)
    if not hasattr(data, "length"):
      raise UserError(f"config.data: found {type(data).__name__}, expected rows of one length")
    sentinels = data.tokenizer.sentinel_ids
    needed = span_sizes(data.length, **self._shares).num_spans
    wanted = tuple(self.first_sentinel + self.sentinel_step * i for i in range(needed))
    if sentinels[:needed] != wanted:
      raise UserError(
        f"config.objective.first_sentinel: rows of {data.length} tokens need {needed} sentinels "
        f"from {self.first_sentinel} on, but the tokenizer of config.data has {len(sentinels)}"
        f"{f', from {sentinels[0]} on' if sentinels else ''}"
      )
    if self.end_id != data.tokenizer.end_id:
      found, expected = self.end_id, data.tokenizer.end_id
      raise UserError(f"config.objective.end_id: found {found}, expected {expected}, of [SEP]")

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    encoder, decoder = module.encoder, module.decoder
    text = encoder.inputs(batch)
    spans = cut_spans(
      rngs.mask(),
      jnp.asarray(text.tokens),
      jnp.asarray(text.segments) > 0,
      first_sentinel=self.first_sentinel,
      sentinel_step=self.sentinel_step,
      end_id=self.end_id,
      **self._shares,
    )
    random = {"deterministic": False, "rngs": rngs}
    whole = Text(spans.inputs, spans.inputs_valid.astype(jnp.int32))
    context = encoder.sequence(whole, **random)
    before = jnp.pad(spans.targets[:, :-1], ((0, 0), (1, 0)), constant_values=self.start_id)
    table = encoder.token_embedding[...]
    hidden = decoder(before, context, valid=spans.inputs_valid, table=table, **random)
    scores = vocabulary_loss(
      hidden,
      decoder.scores_table(table),
      spans.targets,
      weights=token_weights(spans.targets_valid),
      chunk_size=self.chunk_size,
    )
    features = mean_pool(context, spans.inputs_valid)
    metrics = {"loss": scores.loss, "target_accuracy": scores.correct}
    return scores.loss, metrics | {"feature_std": feature_std(features)}

  @property
  def _shares(self) -> dict[str, float]:
    return {"noise_density": self.noise_density, "mean_span_length": self.mean_span_length}
