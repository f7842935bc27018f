"""Text to numbers and back: a tokenizer.json of Hugging Face's `tokenizers`, whoever trained it."""

import contextlib
import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tokenizers
from jaxtyping import Bool, Integer

from pretrainjax.data import tokenizer_json
from pretrainjax.errors import UserError
from pretrainjax.untrusted import BadFile

# What ours are called, in order of their ids, and what others call the same thing.
SPECIALS: Mapping[str, tuple[str, ...]] = {
  "[PAD]": ("<pad>", "<|pad|>", "<|padding|>"),
  "[UNK]": ("<unk>",),
  "[CLS]": ("<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>", "<|endoftext|>"),
  "[SEP]": ("</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>"),
  "[MASK]": ("<mask>",),
}
_SPACES = ("\u0120", "\u010a", "\u0109", "\u2581")  # byte-level space, newline, tab; metaspace


def sentinel(index: int) -> str:
  """The name of a sentinel of span corruption, from 0."""
  return f"<extra_id_{index}>"


@dataclasses.dataclass(frozen=True)
class Tokenizer:
  """A tokenizer that has all five special tokens; documents are wrapped by us, not by it.

  Attributes:
    text: the JSON, as `tokenizers` writes it.
    path: the file that it was read from, for messages.
    names: what special tokens are called here where it is no usual name, ("[CLS]", "<start>").
  """

  text: str
  path: Path | None = None
  names: tuple[tuple[str, str], ...] = ()

  @classmethod
  def load(cls, path: Path | str, *, inside: Path | None = None) -> "Tokenizer":
    """Reads a tokenizer.json.

    Args:
      path: the path of the file.
      inside: the folder that no link may lead out of; None allows all places.

    Raises:
      UserError: for a file that is missing, is none, or lacks a special token.
    """
    path = Path(path)
    try:
      loaded = cls(tokenizer_json.read(path, inside=inside), path)
    except BadFile as error:
      raise UserError(f"{path}: cannot be read as tokenizer.json ({error.reason})") from error
    missing = [name for name in SPECIALS if loaded.special_id(name) is None]
    if missing:
      raise UserError(
        f"{path}: has no token {', '.join(missing)}, nor one of its other names; "
        "`prepare` with --config.tokenizer.path adds what is missing"
      )
    return loaded

  @functools.cached_property
  def vocab_size(self) -> int:
    """One more than the largest id."""
    return max(self._vocabulary.values()) + 1

  pad_id = functools.cached_property(lambda self: self.special_id("[PAD]"))
  unknown_id = functools.cached_property(lambda self: self.special_id("[UNK]"))
  begin_id = functools.cached_property(lambda self: self.special_id("[CLS]"))
  end_id = functools.cached_property(lambda self: self.special_id("[SEP]"))
  mask_id = functools.cached_property(lambda self: self.special_id("[MASK]"))

  @functools.cached_property
  def sentinel_ids(self) -> tuple[int, ...]:
    """Ids of <extra_id_0>, <extra_id_1>, ..., as many as there are in a row."""
    found: list[int] = []
    while sentinel(len(found)) in self._vocabulary:
      found.append(self._vocabulary[sentinel(len(found))])
    return tuple(found)

  @functools.cached_property
  def special_ids(self) -> tuple[int, ...]:
    """Ids that no text is made of, ascending: the five, the sentinels and what else is declared."""
    added = self._made.get_added_tokens_decoder()
    declared = {index for index, token in added.items() if token.special}
    ours = {self.special_id(name) for name in SPECIALS} - {None}
    return tuple(sorted(declared | ours))

  @functools.cached_property
  def fingerprint(self) -> str:
    """A digest of what the tokenizer does, 16 hex digits; the JSON's layout does not matter.

    Nor does what we never let it do: to wrap documents, cut them or fill them up.
    """
    facts = json.loads(self.text)
    unused = dict.fromkeys({"post_processor", "truncation", "padding"} & set(facts))
    canonical = json.dumps(facts | unused, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]

  @functools.cached_property
  def starts_word(self) -> Bool[np.ndarray, " V"]:
    """Whether a token begins a word, by its spelling; False for special tokens."""
    kind = json.loads(self.text)["model"].get("type", "BPE")
    starts = np.zeros(self.vocab_size, bool)
    for token, index in self._vocabulary.items():
      starts[index] = not token.startswith("##") if kind == "WordPiece" else token[:1] in _SPACES
    starts[list(self.special_ids)] = False
    return starts

  def special_id(self, name: str) -> int | None:
    """The id of one of ours, "[PAD]", by whatever name it goes here; None without."""
    names = (*(theirs for ours, theirs in self.names if ours == name), name, *SPECIALS[name])
    return next((self._vocabulary[n] for n in names if n in self._vocabulary), None)

  def encode(self, text: str) -> list[int]:
    """Ids of a text, without special tokens, also where it spells one."""
    with self._able():
      return self._made.encode(text, add_special_tokens=False).ids

  def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
    """The ids of many texts as of `encode`, by all cores."""
    with self._able():
      return [e.ids for e in self._made.encode_batch_fast(list(texts), add_special_tokens=False)]

  def encode_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids of a text, and for each where it begins and ends in the text, in characters.

    The text is the one that is given, whatever the tokenizer's normalizer makes of it.
    """
    with self._able():
      encoded = self._made.encode(text, add_special_tokens=False)
    return encoded.ids, encoded.offsets

  def decode(
    self, ids: Iterable[int] | Integer[np.ndarray, " T"], skip_special: bool = True
  ) -> str:
    """The text of ids; bytes that are no UTF-8 become U+FFFD."""
    with self._able():
      return self._made.decode([int(i) for i in ids], skip_special_tokens=skip_special)

  def token_id(self, name: str) -> int | None:
    """The id of a token by its exact spelling; None for no token."""
    return self._vocabulary.get(name)

  def piece(self, index: int) -> str | None:
    """How the vocabulary spells a token, with its mark of a word's beginning; None for no token."""
    return self._made.id_to_token(index)

  @functools.cached_property
  def _vocabulary(self) -> dict[str, int]:
    return self._made.get_vocab(with_added_tokens=True)

  def _able(self) -> contextlib.AbstractContextManager[None]:
    return tokenizer_json.refused(self._where, "fails")

  @property
  def _where(self) -> Path | str:
    return self.path or "tokenizer.json"

  @functools.cached_property
  def _made(self) -> tokenizers.Tokenizer:
    with tokenizer_json.refused(self._where, "is no tokenizer.json of `tokenizers`"):
      tokenizer_json.check(self.text)
      made = tokenizers.Tokenizer.from_str(self.text)
      largest = max(made.get_vocab(with_added_tokens=True).values(), default=0)
    if largest >= tokenizer_json.MAX_TOKENS:
      raise UserError(
        f"{self._where}: has id {largest}, expected fewer than {tokenizer_json.MAX_TOKENS} tokens"
      )
    made.no_padding()
    made.no_truncation()
    made.encode_special_tokens = True  # a text that spells "[MASK]" is a text
    return made
