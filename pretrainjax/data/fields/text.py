"""Texts: tokens and their documents, in rows of one length."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Bool, Integer

from pretrainjax.data.field import ArrayShape, Field, Place
from pretrainjax.data.prepared import Fields, PreparedSplit
from pretrainjax.data.text_rows import (
  Row,
  Specials,
  joint,
  longest_first,
  part_of_block,
  prompted,
  single,
  span_in_row,
)
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.ranges import LARGEST, PositiveInt, Range, check_ranges
from pretrainjax.types import Batch

# Features that decide which arrays a batch has.
_INTEGERS = ("segments", "second", "tags", "span")
_FEATURES = (*_INTEGERS, "score")
# Arrays that have a place for each token.
_ROWS = ("tokens", "segments", "types", "tags", "starts", "scored")
_NO_TAG = 65535  # tags are written as uint16
_LONGEST = 65_535  # of blocks that `prepare` writes


class TextRecord(NamedTuple):
  """The arrays of one record; None where its dataset has no such feature.

  Attributes:
    tokens: the token ids, "N".
    segments: the document of each token, of packed blocks alone, "N".
    second: ids of the second text.
    tags: a class for each token, -1 for none, "N".
    span: the first and last token of an answer in the second text, see `windows`.
    score: a number for the whole.
  """

  tokens: Integer[np.ndarray, " N"]
  segments: Integer[np.ndarray, " N"] | None = None
  second: Integer[np.ndarray, " N2"] | None = None
  tags: Integer[np.ndarray, " N"] | None = None
  span: Integer[np.ndarray, " 2"] | None = None
  score: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextField(Field):
  """A record's text, or two: "tokens" and "segments", int32.

  A dataset of packed blocks is read as it is. Another one has a text, or two, a record, which
  are wrapped here: [CLS] text [SEP], cut off at `length` or padded to it. Its "tags", -1 at
  special tokens and padding, and its "score" come along; of a question and its context, in one
  row, the "span" of the answer, see `text_rows.span_in_row`.

  Attributes:
    length: the length of a row. A record of a packed dataset is cut into rows of `length`, a
      divisor of its own, and documents are counted from 1 in each.
    prefix: the beginning of the arrays' names, "caption_" for "caption_tokens": of two text
      fields of one dataset one has it.
    pair: what becomes of a second text. "joint" makes one row, [CLS] first [SEP] second [SEP],
      with "types"; "views" two rows an example, "B 2 T"; "prompt" one document of a prompt and
      its response, with "scored" True on the response; "first" leaves it out, "second" the first.
    views: the same rows so often, "B V T", for objectives that compare an example with itself.
    word_starts: add "starts", True where a token begins a word.
    buckets: the number of lengths that rows have. Above 1 each batch has rows of one of them, by
      quantiles of the data, up to `length`: less padding, and a program compiled for each. Not for
      packed blocks, and in training only: evaluation chooses lengths by itself.
  """

  length: Annotated[int, Range(4, LARGEST)]
  prefix: str = ""
  pair: Literal["joint", "views", "prompt", "first", "second"] = "joint"
  views: PositiveInt = 1
  word_starts: bool = False
  buckets: PositiveInt = 1

  def __post_init__(self):
    check_ranges(self)
    if self.views > 1 and self.pair in ("views", "prompt"):
      raise ValueError(f"views={self.views}: with pair='{self.pair}' expected 1")

  @functools.cached_property
  def tokenizer(self) -> Tokenizer:
    """The tokenizer that all datasets share."""
    return _tokenizer(self.sources[0].folder)

  @property
  def form(self) -> Literal["blocks", "examples"]:
    """The form of the records: packed blocks, or texts to be wrapped."""
    return "blocks" if self.sources[0].has("segments") else "examples"

  @property
  def tag_names(self) -> tuple[str, ...]:
    """The names of the classes of tokens, () without tags."""
    source = self.sources[0]
    return tuple(source.noted("tag_names", list)) if source.has("tags") else ()

  def shapes(self, sizes: Mapping[str, int]) -> dict[str, ArrayShape]:
    """See `Field`; tokens are below the network's "vocab_size".

    What only some datasets have ("tags", "span", "score") is among them, "types" of pairs are not.
    """
    views = 2 if self.pair == "views" else self.views
    shape = (self.length,) if views == 1 else (views, self.length)
    found = {
      "tokens": ArrayShape(shape, np.int32, high=sizes.get("vocab_size", 2)),
      "segments": ArrayShape(shape, np.int32, low=1, high=2),
      "tags": ArrayShape(shape, np.int32),
      "span": ArrayShape((2,), np.int32),
      "score": ArrayShape((), np.float32),
    }
    marks = {"starts": self.word_starts, "scored": self.pair == "prompt"}
    found |= {name: ArrayShape(shape, np.bool_, low=1, high=2) for name, on in marks.items() if on}
    return {self.prefix + name: array for name, array in found.items()}

  @property
  def arrays_with_views(self) -> tuple[str, ...]:
    """See `Field`."""
    names = ("tokens", "segments", "types") if self.views > 1 or self.pair == "views" else ()
    return tuple(self.prefix + name for name in names)

  def count(self, batch: Batch) -> dict[str, int | float]:
    """See `Field`; padding does not count."""
    return {"tokens": int(np.count_nonzero(batch[f"{self.prefix}segments"]))}

  @functools.cached_property
  def bytes_per_token(self) -> float:
    """UTF-8 bytes of the split's texts by their tokens, special ones apart.

    For a part of a split it is that of the whole.
    """
    counts = [count for source in self.sources for count in _counts(source)]
    return sum(c["bytes"] for c in counts) / max(sum(c["tokens"] for c in counts), 1)

  def check(self) -> None:
    """See `Field`."""
    for source in self.sources:
      if self.buckets > 1 and source.has("segments"):
        raise UserError(
          f"--{self.key}.buckets: found {self.buckets}, expected 1: '{source.name}' is packed"
        )
      source.expect("tokens", tfds.features.Tensor)
      for feature in ("tokens", *_INTEGERS):
        if source.has(feature) and source.dtype(feature).kind not in "iu":
          raise UserError(
            f"--{source.key}.datasets: '{source.name}' has {feature} of {source.dtype(feature)}, "
            "expected integers"
          )
      self._check_pair(source)
      self._check_windows(source)
      self.pieces(source)
    first, *others = self.sources
    fingerprint = _tokenizer(first.folder).fingerprint
    for source in others:
      other = _tokenizer(source.folder).fingerprint
      if other != fingerprint:
        raise UserError(
          f"--{source.key}.datasets: '{source.name}' has tokenizer {other}, expected {fingerprint} "
          f"as '{first.name}'; prepare it with "
          f"--config.tokenizer.path={first.folder / 'tokenizer.json'}"
        )
      if found := [f for f in _FEATURES if source.has(f) != first.has(f)]:
        raise UserError(
          f"--{source.key}.datasets: of '{first.name}' and '{source.name}' one has '{found[0]}', "
          "the other has not: they cannot be mixed"
        )

  def pieces(self, source: PreparedSplit) -> int:
    """See `Field`."""
    if not source.has("segments"):
      return 1
    recorded = source.noted("length", int)
    if not 1 <= recorded <= _LONGEST:
      raise UserError(
        f"{source.folder / 'prepared.json'}: found length={recorded}, expected in [1, {_LONGEST}]"
      )
    if recorded % self.length:
      choices = [n for n in range(recorded, 7, -1) if recorded % n == 0]
      raise UserError(
        f"--{self.key}.length: found {self.length}, expected a divisor of {recorded}, to which "
        f"'{source.name}' is packed: {', '.join(map(str, choices[:6]))}"
      )
    return recorded // self.length

  def unpack(self, source: PreparedSplit, fields: Fields) -> TextRecord:
    """See `Field`."""
    arrays = {f: _numbers(source, fields, f) for f in ("tokens", *_INTEGERS) if source.has(f)}
    record = TextRecord(**arrays)
    for feature in ("segments", "tags"):
      other = arrays.get(feature)
      if other is not None and len(other) != len(record.tokens):
        raise ValueError(f"{len(record.tokens)} tokens have {len(other)} {feature}")
    if record.segments is not None:
      _check_block(record.tokens, record.segments, source.prepared["length"])
    if record.span is not None:
      _check_span(record.span, record.second)
    size = self.tokenizer.vocab_size
    for ids in (record.tokens, record.second):
      if ids is not None and len(ids) and not 0 <= ids.min() <= ids.max() < size:
        raise ValueError(f"found id {ids.max()}, expected below {size}")
    if record.tags is not None:
      tags = np.where(record.tags == _NO_TAG, -1, record.tags.astype(np.int32))
      if len(tags) and tags.max() >= len(self.tag_names):
        raise ValueError(f"found tag {tags.max()}, expected below {len(self.tag_names)}")
      record = record._replace(tags=tags)
    return record._replace(score=_score(fields)) if source.has("score") else record

  @property
  def num_buckets(self) -> int:
    """See `Field`."""
    return self.buckets

  @property
  def has_lengths(self) -> bool:
    """See `Field`; not of packed blocks."""
    return self.form == "examples"

  @property
  def longest(self) -> int:
    """See `Field`; of questions, windows may be shorter than `length` allows."""
    windows = [self._window_of(source) for source in self.sources]
    return min(self.length, max(windows)) if windows else self.length

  def length_of(self, source: PreparedSplit, fields: Fields) -> int:
    """See `Field`; with the special tokens."""
    names = [name for name in ("tokens", "second") if source.has(name)]
    first, *others = (len(_numbers(source, fields, name)) for name in names)
    if not others or self.pair == "first":
      length = first + 2
    elif self.pair == "second":
      length = max(others) + 2
    elif self.pair == "views":
      length = max(first, *others) + 2
    else:
      length = first + sum(others) + (3 if self.pair == "joint" else 2)
    return min(length, self.length)

  def cut(self, arrays: Row, length: int) -> Row:
    """See `Field`; an answer that is cut off is none."""
    names = [self.prefix + name for name in _ROWS]
    row = arrays | {n: arrays[n][..., :length] for n in names if n in arrays}
    span = self.prefix + "span"
    if span in row and row[span][1] >= length:
      row[span] = np.zeros(2, np.int32)
    return row

  def is_empty(self, record: TextRecord, *, piece: int) -> bool:
    """See `Field`; a dataset's last block is filled up, which may be cut off as a row."""
    return record.segments is not None and not record.segments[piece * self.length]

  def arrays(self, record: TextRecord, place: Place) -> Row:
    """See `Field`."""
    row = self._row(record, place.piece)
    if self.word_starts:
      row["starts"] = self._starts(row["tokens"])
    if self.views > 1:
      row = {name: np.repeat(array[None], self.views, axis=0) for name, array in row.items()}
    if record.span is not None and self.pair == "joint":
      sizes = (len(record.tokens), len(record.second))
      row["span"] = span_in_row(record.span, *sizes, length=self.length)
    if record.score is not None:
      row["score"] = np.float32(record.score)
    return {self.prefix + name: array for name, array in row.items()}

  def _check_pair(self, source: PreparedSplit) -> None:
    if self.pair in ("views", "prompt", "second") and not source.has("second"):
      raise UserError(
        f"--{self.key}.pair: found '{self.pair}', but '{source.name}' has no second text: expected "
        "'joint' or 'first'"
      )

  def _check_windows(self, source: PreparedSplit) -> None:
    """Rows that cut windows off would lose answers, and have others taken for none."""
    window = self._window_of(source)
    if self.length < window:
      raise UserError(
        f"--{self.key}.length: found {self.length}, expected at least {window}, the windows of "
        f"'{source.name}'; prepare it with --config.form.window={self.length}"
      )

  def _window_of(self, source: PreparedSplit) -> int:
    """The most tokens of a question and its context in one row; `length` where none are noted."""
    found = source.prepared.get("window") if source.has("span") else None
    return found if self.pair == "joint" and type(found) is int and found > 0 else self.length

  def _row(self, record: TextRecord, piece: int) -> Row:
    shape = {"length": self.length, "specials": self._specials}
    if record.segments is not None:
      return part_of_block(record.tokens, record.segments, length=self.length, piece=piece)
    if record.second is None or self.pair == "first":
      row = single(record.tokens, **shape)
    elif self.pair == "second":
      return single(record.second, **shape)
    elif self.pair == "joint":
      row = joint(record.tokens, record.second, **shape)
    elif self.pair == "prompt":
      return prompted(record.tokens, record.second, **shape)
    else:
      views = [single(ids, **shape) for ids in (record.tokens, record.second)]
      return {name: np.stack([view[name] for view in views]) for name in views[0]}
    if record.tags is not None:
      row["tags"] = self._tags(record, is_joint="types" in row)
    return row

  def _tags(self, record: TextRecord, *, is_joint: bool) -> Integer[np.ndarray, " T"]:
    """The tags of the first text, at the places in the row where its tokens stand."""
    kept = self.length - 2
    if is_joint:
      kept, _ = longest_first(len(record.tokens), len(record.second), limit=self.length - 3)
    tags = np.full(self.length, -1, np.int32)
    tags[1 : min(kept, len(record.tags)) + 1] = record.tags[:kept]
    return tags

  def _starts(self, tokens: Integer[np.ndarray, "*V T"]) -> Bool[np.ndarray, "*V T"]:
    """By the tokenizer's table; after a special token, or a cut, whatever stands there begins."""
    table, is_special = self._word_tables
    starts, special = table[tokens], is_special[tokens]
    starts[..., 0] = ~special[..., 0]
    starts[..., 1:] |= special[..., :-1] & ~special[..., 1:]
    return starts

  @functools.cached_property
  def _word_tables(self) -> tuple[Bool[np.ndarray, " E"], Bool[np.ndarray, " E"]]:
    is_special = np.zeros(self.tokenizer.vocab_size, bool)
    is_special[list(self.tokenizer.special_ids)] = True
    return self.tokenizer.starts_word & ~is_special, is_special

  @functools.cached_property
  def _specials(self) -> Specials:
    tokenizer = self.tokenizer
    return Specials(pad=tokenizer.pad_id, begin=tokenizer.begin_id, end=tokenizer.end_id)


def _tokenizer(folder: Path) -> Tokenizer:
  """The tokenizer of a prepared dataset."""
  return Tokenizer.load(folder / "tokenizer.json", inside=folder)


def _counts(source: PreparedSplit) -> list[Mapping[str, int]]:
  """The counts of each split that a source names."""
  splits = source.noted("splits", dict)
  names = [part.partition("[")[0].strip() for part in source.split.split("+")]
  found = list(splits.values()) if "all" in names else [splits.get(name) for name in names]
  for counts in found:
    kinds = [isinstance(counts, dict) and type(counts.get(key)) for key in ("bytes", "tokens")]
    if kinds != [int, int]:
      raise UserError(
        f"{source.folder / 'prepared.json'}: found {counts!r} of {source.split}, expected counts "
        "of bytes and tokens"
      )
  return found


def _check_block(tokens: np.ndarray, segments: np.ndarray, length: int) -> None:
  if len(tokens) != length:
    raise ValueError(f"found {len(tokens)} tokens, expected {length}")
  # Documents are numbered from 1 in their order; 0 is what fills the last block up.
  if segments.min() < 0 or segments.max() > length:
    raise ValueError(f"found document {segments.max()} in a block of {length}")


def _check_span(span: np.ndarray, second: np.ndarray | None) -> None:
  size = 0 if second is None else len(second)
  if span.shape != (2,) or (span[0] >= 0 and not span[0] <= span[1] < size):
    raise ValueError(f"found span {span.tolist()} in a text of {size} tokens")


def _score(fields: Fields) -> float:
  found = list(fields["score"].float_list.value)
  if len(found) != 1 or not math.isfinite(found[0]):
    raise ValueError(f"found score {found}, expected one finite number")
  return float(found[0])


def _numbers(source: PreparedSplit, fields: Fields, feature: str) -> Integer[np.ndarray, " N"]:
  values = fields[feature].bytes_list.value
  if len(values) != 1:
    raise ValueError(f"has no {feature}")
  return np.frombuffer(values[0], source.dtype(feature))
