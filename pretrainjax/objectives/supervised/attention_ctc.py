"""Recognition of speech by a decoder with attention, which CTC keeps in the order of time."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.config.follow import Follows, equals, takes
from pretrainjax.errors import UserError
from pretrainjax.losses.cross_entropy import accuracy, cross_entropy
from pretrainjax.losses.ctc import left_aligned
from pretrainjax.losses.tokens import token_mean
from pretrainjax.objectives.base import Towers, expect
from pretrainjax.objectives.supervised.ctc import CTC, Transcripts
from pretrainjax.ranges import Fraction, Rate
from pretrainjax.types import Batch, Encoded, Metrics


class Text(NamedTuple):
  """Transcripts as a decoder reads and writes them.

  Attributes:
    inputs: the start, then the labels.
    targets: the labels, then the end.
    weights: 1 for targets that count, else 0.
  """

  inputs: Int[Array, "B T"]
  targets: Int[Array, "B T"]
  weights: Float[Array, "B T"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttentionCTC(CTC):
  """Transcripts of speech by a decoder that attends to the encoder's frames, together with CTC.

      loss = w CTC + (1 - w) mean over labels and ends of -log p(label_t | labels_(<t), frames)

  CTC is the loss of `CTC`; what it leaves out, because it cannot be aligned, is left out of both.
  The two are logged as "ctc_loss" and "attention_loss"; "attention_accuracy" is the share of labels
  that the decoder gets right after the true ones before. `predict transcribe` decodes the head, as
  of any run of CTC; `evaluators.word_errors` has a choice.

  Args:
    decoder: makes the decoder, a `WhisperDecoder` with hears_padding=False.
    ctc_weight: weight w of CTC, in [0, 1].
    label_smoothing: share of the uniform distribution in the decoder's targets, in [0, 1).

  Reference: arXiv 1609.06773 and 1706.02737 (weights from 0.2 to 0.5 there, 0.3 in ESPnet's
  recipes, 1804.00015). Ours differs in that both losses are means over labels, where ESPnet's are
  sums over them and means over rows.

  >>> import functools
  >>> from pretrainjax.models.bert import BERT
  >>> from pretrainjax.models.heads import Head
  >>> from pretrainjax.models.whisper import WhisperDecoder
  >>> sizes = {"num_layers": 1, "num_heads": 2, "mlp_dim": 16, "embed_dim": 8}
  >>> objective = AttentionCTC(
  ...   backbone=functools.partial(BERT, vocab_size=30, max_length=12, **sizes),
  ...   head=functools.partial(Head, in_dim=8, num_classes=7),
  ...   decoder=functools.partial(WhisperDecoder, vocab_size=7, hears_padding=False, **sizes),
  ...   vocab_size=7,
  ...   blank_id=0,
  ...   special_ids=(0,),
  ... )
  >>> module = nnx.eval_shape(lambda: objective.init(rngs=nnx.Rngs(0)))
  >>> sorted(objective.parts(module))
  ['decoder', 'encoder', 'head']
  """

  decoder: Callable
  ctc_weight: Fraction = 0.3
  label_smoothing: Rate = 0.1

  follows: ClassVar[Follows] = CTC.follows | {
    "decoder.vocab_size": equals("objective.vocab_size"),
    "decoder.embed_dim": equals("objective.backbone.embed_dim"),
    "decoder.start_id": takes("prepared.pad_id"),
    "decoder.end_id": takes("prepared.end_id"),
    "decoder.pad_id": takes("prepared.pad_id"),
  }
  inherited = ("encoder", "decoder")

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    module, decoder = super().init(rngs=rngs), self.decoder(rngs=rngs)
    expect("objective.decoder.vocab_size", decoder.vocab_size, self.vocab_size)
    expect("objective.decoder.embed_dim", decoder.embed_dim, module.encoder.embed_dim)
    expect("objective.decoder.hears_padding", decoder.hears_padding, False)
    module.decoder = decoder
    return module

  def check(self, data: Any) -> None:
    super().check(data)
    decoder, tokenizer = nnx.eval_shape(lambda: self.decoder(rngs=nnx.Rngs(0))), data.tokenizer
    said = {*range(tokenizer.vocab_size)} - {*tokenizer.special_ids}
    if decoder.end_id in said:
      raise UserError(
        f"config.objective.decoder.end_id: found {decoder.end_id}, which is "
        f"'{tokenizer.decode([decoder.end_id])}' in the tokenizer of config.data, expected what is "
        f"never said, such as {tokenizer.end_id}"
      )
    longest = getattr(data, "text_length", 0)
    if longest >= decoder.max_length:
      raise UserError(
        f"config.objective.decoder.max_length: found {decoder.max_length}, expected at least "
        f"{longest + 1}, a transcript of config.data and its end"
      )

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    encoded = self.encoded(module, batch, rngs=rngs)
    said = self.transcripts(batch, encoded)
    ctc, metrics = self.align(module, encoded, said, rngs=rngs)
    attention, correct = self._write(module.decoder, encoded, said, rngs)
    loss = self.ctc_weight * ctc + (1 - self.ctc_weight) * attention
    terms = {"loss": loss, "ctc_loss": ctc, "attention_loss": attention}
    return loss, {**metrics, **terms, "attention_accuracy": correct}

  def _write(
    self, decoder: nnx.Module, encoded: Encoded, said: Transcripts, rngs: nnx.Rngs
  ) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The decoder's loss and accuracy, means over labels and ends."""
    counted = said.fits & jnp.any(encoded.valid, axis=1)  # nothing is heard of a row without frames
    text = as_text(said, start_id=decoder.start_id, end_id=decoder.end_id, counted=counted)
    random = {"deterministic": False, "rngs": rngs}
    features = decoder(text.inputs, encoded.tokens, valid=encoded.valid, **random)
    logits = decoder.logits(features).reshape(-1, decoder.vocab_size)  # B T V -> B*T V
    targets, weights = (x.reshape(-1) for x in (text.targets, text.weights))  # B T -> B*T
    losses = cross_entropy(logits, targets, label_smoothing=self.label_smoothing)
    return token_mean(losses, weights), token_mean(accuracy(logits, targets), weights)


def as_text(said: Transcripts, *, start_id: int, end_id: int, counted: Bool[Array, " B"]) -> Text:
  """What a decoder reads, and what it is to write; behind the end is padding that counts nothing.

  Args:
    said: the transcripts, between whose labels others may stand.
    start_id: the token that every text begins with.
    end_id: the token that ends it.
    counted: False for rows that count nothing.

  >>> labels, present = jnp.array([[2, 7, 8, 3]]), jnp.array([[False, True, True, False]])
  >>> every = jnp.array([True])
  >>> text = as_text(Transcripts(labels, present, every), start_id=0, end_id=3, counted=every)
  >>> text.inputs.tolist(), text.targets.tolist(), text.weights.astype(int).tolist()
  ([[0, 7, 8, 3, 3]], [[7, 8, 3, 3, 3]], [[1, 1, 1, 0, 0]])
  """
  labels, present = left_aligned(said.labels, said.present)
  labels = jnp.where(present, labels, end_id)
  inputs = jnp.pad(labels, ((0, 0), (1, 0)), constant_values=start_id)
  targets = jnp.pad(labels, ((0, 0), (0, 1)), constant_values=end_id)
  is_target = jnp.pad(present, ((0, 0), (1, 0)), constant_values=True)  # the labels and one end
  return Text(inputs, targets, (is_target & counted[:, None]).astype(jnp.float32))
