"""From frames to words with their times, however long a sound is."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.generation.ctc import Spans, align, collapse, greedy
from pretrainjax.generation.ctc_beam import beam_search
from pretrainjax.generation.fusion import Fusion
from pretrainjax.predict.sound_windows import Frames


class Word(NamedTuple):
  """A word that was said.

  Attributes:
    text: the word as it is written.
    begin: the second at which it begins.
    end: the second at which its last frame ends.
  """

  text: str
  begin: float
  end: float


@dataclasses.dataclass(frozen=True)
class Labels:
  """What the classes of a network are in writing.

  Attributes:
    tokenizer: the tokenizer, whose ids are the classes.
    blank_id: the class of the blank.
    begins: True for those that begin a word, a space among them.
    is_space: True for those that are nothing but space.
  """

  tokenizer: Tokenizer
  blank_id: int
  begins: Bool[np.ndarray, " K"]
  is_space: Bool[np.ndarray, " K"]

  @classmethod
  def of(cls, tokenizer: Tokenizer, *, num_classes: int, blank_id: int) -> "Labels":
    """Finds out by decoding each of `num_classes` behind a letter."""
    special = {*tokenizer.special_ids, blank_id}
    ids = [i for i in range(min(num_classes, tokenizer.vocab_size)) if i not in special]
    alone = {i: tokenizer.decode([i]).strip() for i in ids}
    letter = next((i for i in ids if alone[i]), None)
    begins, is_space = np.zeros((2, num_classes), bool)
    for i in ids if letter is not None else ():
      behind = tokenizer.decode([letter, i, letter])[len(alone[letter]) :]
      begins[i], is_space[i] = behind[:1].isspace(), not alone[i]
    return cls(tokenizer, blank_id, begins, is_space)

  def words(self, labels: Int[np.ndarray, " T"], spans: Spans, frames: Frames) -> Iterator[Word]:
    """The words that labels spell, and when."""
    starts = np.flatnonzero(self.begins[labels])
    for part in np.split(np.arange(len(labels)), starts):
      written = part[~self.is_space[labels[part]]]
      text = self.tokenizer.decode(labels[part]).strip()
      if len(written) and text:
        begin, end = frames.begins[[spans.first[written[0]], spans.last[written[-1]]]]
        yield Word(text, float(begin), float(end) + frames.step)


@dataclasses.dataclass(frozen=True)
class Recognition:
  """How frames become words.

  Attributes:
    labels: what the classes are in writing.
    width: the prefixes that the beam search keeps; 0 takes the likeliest class of each frame.
    fusion: what a language model adds to the search; None adds nothing.
    longest: the most seconds that are searched at once, where there is a place between two words.
  """

  labels: Labels
  width: int = 0
  fusion: Fusion | None = None
  longest: float = 30.0

  def words(self, parts: Iterable[Frames]) -> Iterator[Word]:
    """Yields the words of a sound, whose frames come in parts that follow on each other."""
    for piece in self.pieces(parts):
      blank_id = self.labels.blank_id
      if self.width:
        best = beam_search(
          piece.log_probs, blank_id=blank_id, width=self.width, fusion=self.fusion
        )[0]
      else:
        best = greedy(piece.log_probs, blank_id=blank_id)
      found = np.asarray(best.labels, np.int64)
      spans = align(piece.log_probs, found, blank_id=blank_id)
      yield from self.labels.words(found, spans, piece)

  def pieces(self, parts: Iterable[Frames]) -> Iterator[Frames]:
    """Cuts what may be long at the longest pauses before a word, so that no word is cut."""
    held: Frames | None = None
    for part in parts:
      if not len(part.begins):
        continue
      held = part if held is None else _together(held, part)
      while (cut := self._cut(held)) is not None:
        yield held.part(slice(0, cut))
        held = held.part(slice(cut, None))
    if held is not None and len(held.begins):
      yield held

  def _cut(self, frames: Frames) -> int | None:
    """Where frames are cut; None where they are few, or one word so far."""
    longest = max(round(self.longest / frames.step), 2)
    if len(frames.begins) <= longest:
      return None
    path = frames.log_probs[:longest].argmax(axis=1)
    labels, spans = collapse(path, blank_id=self.labels.blank_id)
    if not len(labels):
      return longest // 2  # silence
    before = np.append(0, spans.last[:-1] + 1)  # the first frame of the pause before each label
    may_cut = self.labels.begins[labels] & (spans.first > 0)
    may_cut[0] = spans.first[0] > 0
    for half in (spans.first >= longest // 2, spans.first > 0):
      places = np.flatnonzero(may_cut & half)
      if len(places):
        pauses = spans.first[places] - before[places]
        best = places[pauses.argmax()]
        return max(int(before[best] + spans.first[best]) // 2, 1)
    return longest if len(frames.begins) > 2 * longest else None


def _together(left: Frames, right: Frames) -> Frames:
  log_probs = np.concatenate([left.log_probs, right.log_probs])
  return Frames(log_probs, np.concatenate([left.begins, right.begins]), right.step)
