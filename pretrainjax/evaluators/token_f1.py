"""Entities found by a fine-tuned classifier of tokens."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.evaluators.bar import batches_of
from pretrainjax.evaluators.base import Evaluation, Examples, Outcome, check_parts, short_rows
from pretrainjax.types import Text

_MOST_SENTENCES = 1 << 20  # above the most documents in a row


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenF1(Evaluation):
  """Precision, recall and F1 of whole entities, as seqeval's default mode counts them.

  It takes the objective's module: `module.head(module.encoder(text).tokens)` are the logits. An
  entity is found where its first token, its last one and its type are right. Metrics:
  "precision", "recall" and "f1" over all entities, "macro_f1" (the mean over types), and
  "accuracy" of single tokens.

  Attributes:
    data: texts with "tags" and their `tag_names`: "O" for no entity, "B-TYPE" for the first token
      of one, "I-TYPE" for the others.
  """

  name: str = "token_f1"
  data: Examples
  needs_module: ClassVar[bool] = True
  arrays: ClassVar[Mapping[str, str]] = {"data": "tags"}

  def check(self, subject: Any) -> None:
    """See `Evaluation`."""
    check_parts(subject, "encoder", "head", expected="a classifier")

  def outcome(self, subject: Any) -> Outcome:
    """See `Evaluation`."""
    self.check(subject)
    names = tuple(getattr(self.data, "tag_names", ()))
    tags, guesses, sentences = self._tags(subject, len(names))
    true, guessed = (entities(t, sentences, names=names) for t in (tags, guesses))
    accuracy = float(np.mean(tags == guesses))
    return Outcome(entity_metrics(true, guessed) | {"accuracy": accuracy})

  def protocol(self) -> dict[str, Any]:
    """See `Evaluation`."""
    counted = {"entities": "first token, last token and type; BIO, as seqeval's default mode"}
    return super().protocol() | counted | {"probe": "none: the trained head", "features": "logits"}

  def _tags(
    self, subject: Any, num_tags: int
  ) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"], Int[np.ndarray, " M"]]:
    """(true, guessed, number of the sentence) of all scored tokens."""
    apply = functools.partial(_logits, *nnx.split((subject.encoder, subject.head)))
    parts, num_rows = [], 0
    for batch in batches_of(self.data, what="tags", batches=short_rows(self.data)):
      if "tags" not in batch:
        raise ValueError("data: found no tags, expected a dataset of tagged tokens")
      logits = np.asarray(apply(subject.encoder.inputs(batch)))
      if logits.shape[-1] != num_tags:
        raise ValueError(f"data: found {num_tags} tags, expected the head's {logits.shape[-1]}")
      tags = np.asarray(batch["tags"])
      scored = (tags >= 0) & np.asarray(batch["valid"])[:, None]
      rows = num_rows + np.arange(len(tags))[:, None]
      sentences = rows * _MOST_SENTENCES + np.asarray(batch["segments"])
      parts.append([x[scored] for x in (tags, logits.argmax(axis=-1), sentences)])
      num_rows += len(tags)
    if not sum(len(part[0]) for part in parts):
      raise ValueError("data: found no tagged token, expected some")
    tags, guesses, sentences = (np.concatenate(part) for part in zip(*parts, strict=True))
    return tags, guesses, sentences


class Entities(NamedTuple):
  """The entities of some tokens, by the token that begins them.

  Attributes:
    begins: True where an entity begins.
    last: the index of the last token of an entity that begins here, 0 elsewhere.
    kind: the number of the type of an entity that begins here, 0 elsewhere.
  """

  begins: Bool[np.ndarray, " M"]
  last: Int[np.ndarray, " M"]
  kind: Int[np.ndarray, " M"]


def entities(
  tags: Int[np.ndarray, " M"], sentences: Int[np.ndarray, " M"], *, names: tuple[str, ...]
) -> Entities:
  """Reads entities off tags: one begins at "B", and at an "I" that does not continue its type.

  Args:
    tags: the tag of each token, as an index into `names`.
    sentences: the number of each token's sentence; an entity ends with its sentence.
    names: the names of the tags, "O", "B-TYPE", "I-TYPE", in any order.

  Raises:
    ValueError: for another name.
  """
  for name in names:
    if name != "O" and name[:2] not in ("B-", "I-"):
      raise ValueError(f"tag_names: found '{name}', expected 'O', 'B-TYPE' or 'I-TYPE'")
  kinds = sorted({name[2:] for name in names})
  kind = np.array([kinds.index(name[2:]) for name in names])[tags]
  first, inside = (np.array([test(n) for n in names])[tags] for test in (_is_first, _is_inside))
  goes_on = np.zeros(len(tags), bool)
  same = (kind[1:] == kind[:-1]) & (sentences[1:] == sentences[:-1])
  goes_on[1:] = inside[1:] & inside[:-1] & same & ~first[1:]
  begins = inside & ~goes_on
  ends = inside & ~np.append(goes_on[1:], False)
  last = np.zeros(len(tags), np.int64)
  last[begins] = np.flatnonzero(ends)
  return Entities(begins, last, np.where(begins, kind, 0))


def entity_metrics(true: Entities, guessed: Entities) -> dict[str, float]:
  """Precision, recall, F1 and the mean F1 of types; 0 where there is nothing to divide by."""
  same = (true.last == guessed.last) & (true.kind == guessed.kind)
  right = true.begins & guessed.begins & same
  count = max(true.kind.max(), guessed.kind.max()) + 1
  found = np.bincount(true.kind[right], minlength=count)
  expected = np.bincount(true.kind[true.begins], minlength=count)
  called = np.bincount(guessed.kind[guessed.begins], minlength=count)
  f1 = 2 * found / np.maximum(expected + called, 1)
  there = expected + called > 0
  return {
    "precision": float(found.sum() / max(called.sum(), 1)),
    "recall": float(found.sum() / max(expected.sum(), 1)),
    "f1": float(2 * found.sum() / max(expected.sum() + called.sum(), 1)),
    "macro_f1": float(f1[there].mean()) if there.any() else 0.0,
  }


def _is_first(name: str) -> bool:
  return name.startswith("B-")


def _is_inside(name: str) -> bool:
  return name != "O"


@functools.partial(jax.jit, static_argnums=0)
def _logits(graphdef: nnx.GraphDef, state: Any, text: Text) -> Float[Array, "B T K"]:
  encoder, head = nnx.merge(graphdef, state)
  return head(encoder(text).tokens)
