"""Word and letter error rates of a fine-tuned recogniser of speech."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Int

from pretrainjax.data.transcripts import Rule, normalized
from pretrainjax.errors import UserError
from pretrainjax.evaluators.bar import batches_of
from pretrainjax.evaluators.base import Evaluation, Examples, Outcome, check_parts, short_rows
from pretrainjax.generation.ctc import collapse
from pretrainjax.generation.transcriber import Transcriber
from pretrainjax.ranges import NonNegativeInt

_RULES = {
  "words": "NFKC, small letters, a space for all but letters, marks, numbers and inner apostrophes",
  "lower": "NFC, small letters, one space for several",
  "verbatim": "NFC, one space for several",
}
_PARTS = {"ctc": "head", "attention": "decoder"}
_DECODING = {
  "ctc": "the likeliest class of each frame; no language model",
  "attention": "the decoder's likeliest token, one after the other; no language model",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordErrors(Evaluation):
  """Word error rate and letter error rate of a trained `CTC`, decoded greedily, by jiwer.

      wer = (substitutions + deletions + insertions) / words

  It takes the objective's module: `module.head(module.encoder(sound).tokens)` are the logits of
  frames, and `module.decoder` writes tokens. Sums are over all transcripts. Metrics: "wer", and its
  three parts as shares of the words; "cer", the same rate of letters, spaces among them; "exact",
  the share of transcripts without an error; the numbers of "words" and "letters" that the rates
  are of. The transcripts with most errors are the outcome's `worst`, which `evaluate` writes into
  the run's folder.

  Attributes:
    data: sounds with transcripts in tokens.
    normalizer: what is done to both texts first, see `data.transcripts.normalized`: "words" leaves
      words and numbers in small letters alone.
    blank_id: the class of the blank; None is [PAD] of the data's tokenizer, as it is in configs.
    num_worst: the most transcripts that are kept, of those with errors.
    decoding: what is written down: by "ctc" what the head says of frames, by "attention" what the
      decoder of `AttentionCTC` writes.
  """

  name: str = "word_errors"
  data: Examples
  normalizer: Rule = "words"
  blank_id: NonNegativeInt | None = None
  num_worst: NonNegativeInt = 10
  decoding: Literal["ctc", "attention"] = "ctc"
  needs_module: ClassVar[bool] = True
  arrays: ClassVar[Mapping[str, str]] = {"data": "tokens"}

  def check(self, subject: Any) -> None:
    """See `Evaluation`."""
    check_parts(subject, "encoder", _PARTS[self.decoding], expected="a recogniser")
    _import_jiwer()

  def outcome(self, subject: Any) -> Outcome:
    """See `Evaluation`."""
    self.check(subject)
    right, found = ([normalized(text, self.normalizer) for text in x] for x in self._texts(subject))
    worst = worst_transcripts(right, found, count=self.num_worst)
    return Outcome(error_rates(right, found), worst=worst)

  def protocol(self) -> dict[str, Any]:
    """See `Evaluation`."""
    counted = {
      "normalizer": f"{self.normalizer}: {_RULES[self.normalizer]}",
      "decoding": _DECODING[self.decoding],
      "errors": "jiwer, summed over transcripts; letters with spaces",
    }
    counted |= {"probe": f"none: the trained {_PARTS[self.decoding]}", "features": "logits"}
    fields = super().protocol() | counted
    del fields["num_worst"]  # which changes no number
    return fields

  def _texts(self, subject: Any) -> tuple[list[str], list[str]]:
    """The transcripts of all examples, and what was recognised."""
    tokenizer = getattr(self.data, "tokenizer", None)
    if tokenizer is None:
      raise ValueError("data: found no tokenizer, expected sounds with transcripts")
    if self.decoding == "ctc":
      labels_of = _heard(subject, tokenizer.pad_id if self.blank_id is None else self.blank_id)
    else:
      labels_of = _written(subject)
    right, found = [], []
    for batch in batches_of(self.data, what="transcripts", batches=short_rows(self.data)):
      labels = labels_of(subject.encoder.inputs(batch))
      tokens, said = np.asarray(batch["tokens"]), np.asarray(batch["segments"]) > 0
      for row in np.flatnonzero(batch["valid"]):
        right.append(tokenizer.decode(tokens[row, said[row]]))
        found.append(tokenizer.decode(labels[row]))
    return right, found


def error_rates(right: Sequence[str], found: Sequence[str]) -> dict[str, float]:
  """The rates of `WordErrors`.

  Args:
    right: the transcripts, normalized.
    found: what was recognised of each, likewise normalized.

  Raises:
    ValueError: where no transcript has a word.
  """
  if not any(right):
    raise ValueError("data: found no word in its transcripts, expected some")
  jiwer = _import_jiwer()
  words = jiwer.process_words(list(right), list(found))
  letters = jiwer.process_characters(list(right), list(found))
  counts = [sum(map(len, one.references)) for one in (words, letters)]
  parts = {name: getattr(words, name) for name in ("substitutions", "deletions", "insertions")}
  return {
    "wer": sum(parts.values()) / counts[0],
    "cer": (letters.substitutions + letters.deletions + letters.insertions) / counts[1],
    **{name: count / counts[0] for name, count in parts.items()},
    "exact": sum(map(str.__eq__, right, found)) / len(right),
    "words": float(counts[0]),
    "letters": float(counts[1]),
  }


def worst_transcripts(
  right: Sequence[str], found: Sequence[str], *, count: int
) -> tuple[dict[str, Any], ...]:
  """The transcripts with most errors, most first; of equals the shorter reference goes first.

  Args:
    right: the transcripts, normalized.
    found: what was recognised of each, likewise normalized.
    count: the most that are wanted; those without an error are none.

  Returns:
    Of each "errors", "words" (of the reference), "reference" and "hypothesis".
  """
  alignments = _import_jiwer().process_words(list(right), list(found)).alignments
  errors = [sum(map(_edits, chunks)) for chunks in alignments]
  words = [len(text.split()) for text in right]
  order = sorted(range(len(right)), key=lambda i: (-errors[i], words[i], i))
  return tuple(
    {"errors": errors[i], "words": words[i], "reference": right[i], "hypothesis": found[i]}
    for i in order[:count]
    if errors[i]
  )


def _edits(chunk: Any) -> int:
  """The substitutions, deletions or insertions of one stretch of an alignment."""
  sizes = chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx
  return 0 if chunk.type == "equal" else max(sizes)


def _import_jiwer() -> Any:
  """The package jiwer; UserError, with the command that installs it, where it is missing."""
  try:
    import jiwer  # of an extra
  except ImportError as error:
    raise UserError("word error rates need jiwer; pip install 'pretrainjax[audio]'") from error
  return jiwer


# From what the encoder reads to the labels of each row.
_Labels = Callable[[Any], list[np.ndarray]]


def _heard(subject: Any, blank_id: int) -> _Labels:
  """What the classes of frames spell."""
  apply = functools.partial(_paths, *nnx.split((subject.encoder, subject.head)))

  def labels_of(inputs: Any) -> list[np.ndarray]:
    paths, frames = map(np.asarray, apply(inputs))
    rows = zip(paths, frames, strict=True)
    return [collapse(path[real], blank_id=blank_id)[0] for path, real in rows]

  return labels_of


def _written(subject: Any) -> _Labels:
  """What the decoder writes."""
  transcriber = Transcriber(subject.encoder, subject.decoder)

  def labels_of(inputs: Any) -> list[np.ndarray]:
    written = transcriber(inputs)
    tokens, lengths = np.asarray(written.tokens), np.asarray(written.lengths)
    return [row[:length] for row, length in zip(tokens, lengths, strict=True)]

  return labels_of


@functools.partial(jax.jit, static_argnums=0)
def _paths(
  graphdef: nnx.GraphDef, state: Any, inputs: Any
) -> tuple[Int[Array, "B N"], Bool[Array, "B N"]]:
  """The likeliest class of each frame, and which frames are real."""
  encoder, head = nnx.merge(graphdef, state)
  encoded = encoder(inputs)
  return jnp.argmax(head(encoded.tokens), axis=-1), encoded.valid
