"""A SentencePiece .model as a tokenizer.json; neither the library nor its protobuf is needed.

The file's form: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

import base64
import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pretrainjax.data.tokenizer_json import MAX_BYTES, MAX_TOKENS
from pretrainjax.errors import UserError
from pretrainjax.untrusted import read_bytes

SUFFIX = ".model"
_SPACE = "\u2581"
_UNIGRAM, _BPE = 1, 2
_NORMAL, _UNKNOWN, _CONTROL, _USER, _UNUSED, _BYTE = range(1, 7)


class Piece(NamedTuple):
  """One entry of the vocabulary; its number is its place."""

  text: str
  score: float
  kind: int


class Model(NamedTuple):
  """What a .model says.

  Attributes:
    pieces: the entries of the vocabulary.
    is_bpe: whether pieces are merged by their scores; else the likeliest ones are chosen.
    byte_fallback: whether unknown letters become bytes.
    is_split: whether no piece reaches from one word into the next.
    charsmap: what replaces characters; empty for nothing.
    has_prefix: whether a space is put before a text.
    is_squeezed: whether spaces at the ends go, and one stays of several.
  """

  pieces: list[Piece]
  is_bpe: bool
  byte_fallback: bool
  is_split: bool
  charsmap: bytes
  has_prefix: bool
  is_squeezed: bool


def tokenizer_json_of(path: Path) -> str:
  """The text of a tokenizer.json that does what a .model does.

  Raises:
    UserError: for a file that is none, or of a kind that has no such form.
    BadFile: where it cannot be read, or is too large.
  """
  try:
    model = _parsed(read_bytes(path, limit=MAX_BYTES))
  except (ValueError, IndexError, struct.error) as error:
    raise UserError(f"{path}: is no SentencePiece model ({error})") from error
  return json.dumps(_json(model), ensure_ascii=False)


def _parsed(data: bytes) -> Model:
  fields = list(_fields(data))
  pieces = [_piece(value) for number, value in fields if number == 1]
  trainer, normalizer = ({}, {})
  for number, value in fields:
    trainer = dict(_fields(value)) if number == 2 else trainer
    normalizer = dict(_fields(value)) if number == 3 else normalizer
  kind = trainer.get(3, _UNIGRAM)
  if kind not in (_UNIGRAM, _BPE):
    raise ValueError("of words or characters, expected BPE or Unigram")
  if trainer.get(24):
    raise ValueError("spaces stand behind words, expected before them")
  if not pieces or len(pieces) >= MAX_TOKENS:
    raise ValueError(f"{len(pieces)} pieces, expected 1 to {MAX_TOKENS}")
  if not any(piece.kind == _UNKNOWN for piece in pieces):
    raise ValueError("no piece for what is unknown")
  return Model(
    pieces=pieces,
    is_bpe=kind == _BPE,
    byte_fallback=bool(trainer.get(35)),
    is_split=bool(trainer.get(22, 1)),
    charsmap=normalizer.get(2, b""),
    has_prefix=bool(normalizer.get(3, 1)),
    is_squeezed=bool(normalizer.get(4, 1)),
  )


def _piece(data: Any) -> Piece:
  fields = dict(_fields(data))
  score = struct.unpack("<f", fields[2])[0] if 2 in fields else 0.0
  return Piece(fields.get(1, b"").decode(), score, fields.get(3, _NORMAL))


def _fields(data: Any) -> Iterator[tuple[int, Any]]:
  """(number, value) of a message's fields: whole numbers, else bytes."""
  if not isinstance(data, bytes):
    raise ValueError("a message that is none")
  place = 0
  while place < len(data):
    head, place = _varint(data, place)
    number, kind = head >> 3, head & 7
    if kind == 0:
      value, place = _varint(data, place)
    else:
      size = {1: 8, 5: 4}.get(kind)
      if kind == 2:
        size, place = _varint(data, place)
      if size is None or size > len(data) - place:
        raise ValueError("breaks off")
      value, place = data[place : place + size], place + size
    yield number, value


def _varint(data: bytes, place: int) -> tuple[int, int]:
  found = 0
  for shift in range(0, 70, 7):
    byte = data[place]
    place += 1
    found |= (byte & 0x7F) << shift
    if byte < 0x80:
      return found, place
  raise ValueError("a number without end")


def _json(model: Model) -> dict[str, Any]:
  words_apart = model.is_squeezed and model.is_split
  return {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [
      _added(number, piece)
      for number, piece in enumerate(model.pieces)
      if piece.kind in (_UNKNOWN, _CONTROL) or (piece.kind == _USER and _SPACE not in piece.text)
    ],
    "normalizer": _normalizer(model, words_apart=words_apart),
    "pre_tokenizer": _pre_tokenizer(model, words_apart=words_apart),
    "post_processor": None,
    "decoder": _decoder(model),
    "model": _bpe(model) if model.is_bpe else _unigram(model),
  }


def _added(number: int, piece: Piece) -> dict[str, Any]:
  flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
  return {"id": number, "content": piece.text, **flags, "special": piece.kind != _USER}


def _pre_tokenizer(model: Model, *, words_apart: bool) -> dict[str, Any]:
  steps: list[dict[str, Any]] = []
  if words_apart:
    scheme = "always" if model.has_prefix else "never"
    marks = {"replacement": _SPACE, "prepend_scheme": scheme, "split": True}
    steps.append({"type": "Metaspace", **marks})
  # The first letter of what spells a special token stands alone, so that no piece matches it.
  names = [p.text for p in model.pieces if p.kind in (_UNKNOWN, _CONTROL) and len(p.text) > 1]
  spelt = "|".join(f"{re.escape(name[0])}(?={re.escape(name[1:])})" for name in names)
  if spelt:
    split = {"pattern": {"Regex": spelt}, "behavior": "Isolated", "invert": False}
    steps.append({"type": "Split", **split})
  return {"type": "Sequence", "pretokenizers": steps}


def _normalizer(model: Model, *, words_apart: bool) -> dict[str, Any] | None:
  steps: list[dict[str, Any]] = []
  if model.charsmap:
    encoded = base64.b64encode(model.charsmap).decode()
    steps.append({"type": "Precompiled", "precompiled_charsmap": encoded})
  if model.is_squeezed:
    steps.append({"type": "Strip", "strip_left": True, "strip_right": True})
    steps.append({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})
  if not words_apart:
    if model.has_prefix:
      steps.append({"type": "Prepend", "prepend": _SPACE})
    steps.append({"type": "Replace", "pattern": {"String": " "}, "content": _SPACE})
  return {"type": "Sequence", "normalizers": steps} if steps else None


def _decoder(model: Model) -> dict[str, Any]:
  steps: list[dict[str, Any]] = [
    {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
    *([{"type": "ByteFallback"}] if model.byte_fallback else []),
    {"type": "Fuse"},
  ]
  if model.has_prefix:
    steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
  return {"type": "Sequence", "decoders": steps}


def _unigram(model: Model) -> dict[str, Any]:
  lowest = min((p.score for p in model.pieces if p.kind == _NORMAL), default=0.0)
  never = 100 * min(lowest, -1.0)  # no text is made of them
  silent = (_UNKNOWN, _CONTROL, _UNUSED, _BYTE)
  unknown = next(i for i, piece in enumerate(model.pieces) if piece.kind == _UNKNOWN)
  return {
    "type": "Unigram",
    "unk_id": unknown,
    "vocab": [[p.text, never if p.kind in silent else p.score] for p in model.pieces],
    "byte_fallback": model.byte_fallback,
  }


def _bpe(model: Model) -> dict[str, Any]:
  return {
    "type": "BPE",
    "dropout": None,
    "unk_token": next(piece.text for piece in model.pieces if piece.kind == _UNKNOWN),
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": True,
    "byte_fallback": model.byte_fallback,
    "vocab": {piece.text: number for number, piece in enumerate(model.pieces)},
    "merges": _merges(model.pieces),
  }


def _merges(pieces: list[Piece]) -> list[tuple[str, str]]:
  """Pairs of pieces whose union is one, in the order of its score."""
  known = {p.text: number for number, p in enumerate(pieces) if p.kind in (_NORMAL, _USER)}
  found = []
  for text, number in known.items():
    halves = [(text[:i], text[i:]) for i in range(1, len(text))]
    pairs = [pair for pair in halves if pair[0] in known and pair[1] in known]
    pairs.sort(key=lambda pair: (known[pair[0]], known[pair[1]]))
    found += [(-pieces[number].score, pair) for pair in pairs]
  return [pair for _, pair in sorted(found, key=lambda scored: scored[0])]
