"""Recognition of speech by connectionist temporal classification."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.augment.audio import Policy
from pretrainjax.config.follow import Follows, equals, takes
from pretrainjax.errors import UserError
from pretrainjax.losses.ctc import can_align, ctc_loss
from pretrainjax.losses.tokens import token_mean
from pretrainjax.objectives.base import Objective, Towers, expect
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.objectives.supervised.tuning import Tune, check_spec_augment, encode, trains
from pretrainjax.ranges import NonNegativeInt, PositiveInt, check_ranges
from pretrainjax.types import Batch, Encoded, Metrics


class Transcripts(NamedTuple):
  """What is said in a batch.

  Attributes:
    labels: the tokens of the data, special ones among them.
    present: True for those that are said.
    fits: False for transcripts that have no path through their frames.
  """

  labels: Int[Array, "B T"]
  present: Bool[Array, "B T"]
  fits: Bool[Array, " B"]


@dataclasses.dataclass(frozen=True)
class CTC(Objective):
  """Transcripts of speech, letters or pieces of words, from an encoder's frames.

      loss = sum of ctc_loss(head(encoder(sound).tokens), transcript) / labels of the transcripts

  Both sums are over all transcripts of the batch that can be aligned, an empty one counting as one
  label; the others are left out, and "left_out" is their share. "blank" is the share of frames in
  which the blank is likeliest: near 1 for long, the network has learned nothing but silence. What a
  recogniser is worth in words, `evaluators.word_errors` says.

  To leave the encoder as it is until the head has learned something, as wav2vec 2.0 and HuBERT do,
  set `frozen_at_first` and `frozen_steps` of the optimizer.

  Args:
    backbone: makes the encoder, of sound or of any other sequence longer than its transcript.
    head: makes the network from features of frames to logits of `vocab_size`.
    vocab_size: number of classes, K: the tokenizer's, the blank among them.
    blank_id: the class that stands for no label; in transformers' models it is that of [PAD].
    special_ids: tokens of "tokens" that are not said, [CLS] and [SEP] among them: they are no part
      of a transcript.
    tune: "full" trains all; "linear" trains the head alone, see `tuning.encode`.
    spec_augment: what is hidden of the features of sound while it is trained on, see
      `augment.audio.Policy`; None hides nothing.

  Reference: Graves et al. 2006, ICML (not on arXiv); on features of wav2vec 2.0, arXiv 2006.11477,
    whose code divides by the number of labels too.

  >>> import functools
  >>> from pretrainjax.models.bert import BERT
  >>> from pretrainjax.models.heads import Head
  >>> sizes = {"vocab_size": 30, "max_length": 12, "num_layers": 1, "num_heads": 2, "mlp_dim": 16}
  >>> objective = CTC(
  ...   backbone=functools.partial(BERT, embed_dim=8, **sizes),
  ...   head=functools.partial(Head, in_dim=8, num_classes=7),
  ...   vocab_size=7,
  ...   blank_id=0,
  ...   special_ids=(0,),
  ... )
  >>> module = nnx.eval_shape(lambda: objective.init(rngs=nnx.Rngs(0)))
  >>> sorted(objective.parts(module))
  ['encoder', 'head']
  """

  backbone: Callable
  head: Callable
  vocab_size: PositiveInt
  blank_id: NonNegativeInt
  special_ids: tuple[NonNegativeInt, ...]
  tune: Tune = "full"
  spec_augment: Policy | None = None

  follows: ClassVar[Follows] = {
    "vocab_size": takes("prepared.vocab_size"),
    "blank_id": takes("prepared.pad_id"),
    "special_ids": takes("prepared.special_ids"),
    "head.num_classes": equals("objective.vocab_size"),
    "head.in_dim": equals("objective.backbone.embed_dim"),
  }
  inherited = ("encoder",)

  def __post_init__(self):
    check_ranges(self)
    if self.blank_id >= self.vocab_size:
      raise ValueError(f"blank_id={self.blank_id}: expected below vocab_size={self.vocab_size}")

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    encoder, head = self.backbone(rngs=rngs), self.head(rngs=rngs)
    check_spec_augment(encoder, policy=self.spec_augment, tune=self.tune)
    expect("objective.head.in_dim", head.in_dim, encoder.embed_dim)
    expect("objective.head.num_classes", head.num_classes, self.vocab_size)
    expect(
      "objective.head.batch_norm", getattr(head, "norm", None) is not None, False
    )  # padding would count
    return Towers(encoder=encoder, head=head)

  def check(self, data: Any) -> None:
    tokenizer = getattr(data, "tokenizer", None)
    if tokenizer is None:
      raise UserError("config.data: found no transcripts, expected sound with texts")
    if tokenizer.vocab_size > self.vocab_size:
      raise UserError(
        f"config.objective.vocab_size: found {self.vocab_size}, expected at least "
        f"{tokenizer.vocab_size}, as many as the tokenizer of config.data has"
      )
    said = {*range(tokenizer.vocab_size)} - {*tokenizer.special_ids}
    if self.blank_id in said:
      raise UserError(
        f"config.objective.blank_id: found {self.blank_id}, which is "
        f"'{tokenizer.decode([self.blank_id])}' in the tokenizer of config.data, expected what is "
        f"never said, such as {tokenizer.pad_id}"
      )
    if more := sorted(said & {*self.special_ids}):
      raise UserError(
        f"config.objective.special_ids: found {more[0]} among them, which is "
        f"'{tokenizer.decode(more[:1])}' in the tokenizer of config.data, expected what is not said"
      )

  def predictions(self, module: nnx.Module, encoded: Encoded) -> dict[str, Float[Array, "B N K"]]:
    return {"logits": module.head(encoded.tokens, deterministic=True)}

  def is_trained(self, path: tuple[str, ...]) -> bool:
    return trains(path, tune=self.tune)

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    encoded = self.encoded(module, batch, rngs=rngs)
    return self.align(module, encoded, self.transcripts(batch, encoded), rngs=rngs)

  def encoded(self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs) -> Encoded:
    """The frames of a batch; arguments as of `loss`."""
    inputs, tuning = module.encoder.inputs(batch), {"tune": self.tune, "rngs": rngs}
    return encode(module.encoder, inputs, spec_augment=self.spec_augment, **tuning)

  def transcripts(self, batch: Batch, encoded: Encoded) -> Transcripts:
    """The transcripts of encoded sounds."""
    labels, segments = jnp.asarray(batch["tokens"]), jnp.asarray(batch["segments"])
    silent = jnp.asarray((*self.special_ids, self.blank_id), labels.dtype)
    present = (segments > 0) & ~jnp.isin(labels, silent)
    fits = can_align(labels, valid=encoded.valid, present=present)
    return Transcripts(labels, present, fits)

  def align(
    self, module: nnx.Module, encoded: Encoded, said: Transcripts, *, rngs: nnx.Rngs
  ) -> tuple[Float[Array, ""], Metrics]:
    """Scores the head's classes of frames; returns as `loss` does.

    Args:
      module: the module, as of `init`.
      encoded: what its encoder made of the sounds.
      said: what is said in them.
      rngs: the step's keys, equal on all devices.
    """
    logits = module.head(encoded.tokens, deterministic=False, rngs=rngs)
    masks = {"valid": encoded.valid, "present": said.present}
    losses = ctc_loss(logits, said.labels, **masks, blank_id=self.blank_id)
    sizes = jnp.maximum(said.present.sum(axis=1), 1).astype(jnp.float32)
    loss = token_mean(losses / sizes, sizes * said.fits)
    is_blank, is_real = (
      x.reshape(-1).astype(jnp.float32)  # B N -> B*N
      for x in (jnp.argmax(logits, axis=-1) == self.blank_id, encoded.valid)
    )
    return loss, {
      "loss": loss,
      "left_out": jnp.mean(1.0 - said.fits.astype(jnp.float32)),
      "blank": token_mean(is_blank, is_real),
      "feature_std": feature_std(encoded.pooled),
    }
