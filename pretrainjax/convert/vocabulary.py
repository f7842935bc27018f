"""The tokenizer of a folder of transformers, whichever of its forms it has, as a tokenizer.json."""

import os
import re
import string
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from pretrainjax.data import tokenizer_json
from pretrainjax.data.tokenizer import SPECIALS, Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.prepare.text.sentencepiece import tokenizer_json_of
from pretrainjax.untrusted import BadFile, read_json, read_text

# What tokenizer_config.json calls each of ours, the likelier one first.
_ROLES: Mapping[str, tuple[str, ...]] = {
  "[PAD]": ("pad_token",),
  "[UNK]": ("unk_token",),
  "[CLS]": ("cls_token", "bos_token"),
  "[SEP]": ("sep_token", "eos_token"),
  "[MASK]": ("mask_token",),
}
# What ends a word of CLIP's BPE, and how it cuts a text: endings with an apostrophe, runs of
# letters, digits one by one, runs of what else is no space.
_WORD_END = "</w>"
_CLIP_WORDS = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
_SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
# What a converted vocabulary has to give back: capitals, accents, digits, other scripts, a quote.
_SAMPLE = "The caf\u00e9's 12 r\u00e9sum\u00e9s cost 3.50 (na\u00efve?), \u4e2d\u6587 too."


def read(folder: Path, *, inside: Path) -> Tokenizer | None:
  """Reads the tokenizer of a folder; None where there is none.

  Args:
    folder: the folder, with tokenizer.json; vocab.txt (WordPiece); vocab.json and merges.txt (BPE);
      or a .model of SentencePiece. The first of them is taken.
    inside: the folder that no link may lead out of.

  Raises:
    UserError: for files that are none, or do not give a text back.
  """
  there = {name for name in os.listdir(folder)} if folder.is_dir() else set()
  facts = _facts(folder, inside, there)
  names = _names(facts)
  if "tokenizer.json" in there:
    path = folder / "tokenizer.json"
    return Tokenizer(tokenizer_json.read(path, inside=inside), path, names)
  model = next((name for name in _SENTENCEPIECE if name in there), None)
  if "vocab.txt" in there:
    path = folder / "vocab.txt"
    text = _wordpiece(_lines(path, inside), facts)
  elif {"vocab.json", "merges.txt"} <= there:
    path = folder / "vocab.json"
    text = _bpe(path, folder / "merges.txt", inside, facts)
  elif model is not None:
    path = folder / model
    text = tokenizer_json_of(_inside(path, inside))
    text = _without_punctuation(text, facts) if _is_siglip(facts) else text
  else:
    return None
  found = Tokenizer(_declared(text, facts, path), path, names)
  _check_round_trip(found, path, lost=string.punctuation if _is_siglip(facts) else "")
  return found


def read_pad_id(folder: Path, *, inside: Path) -> int | None:
  """The id of what rows are filled up with, out of tokenizer_config.json alone; None if unsaid.

  Args:
    folder: the folder of config.json.
    inside: the folder that no link may lead out of.
  """
  there = {name for name in os.listdir(folder)} if folder.is_dir() else set()
  facts = _facts(folder, inside, there)
  name, listed = dict(_names(facts)).get("[PAD]"), facts.get("added_tokens_decoder")
  for number, token in listed.items() if isinstance(listed, dict) else ():
    is_it = isinstance(token, dict) and token.get("content") == name
    if is_it and name is not None and number.isdecimal() and len(number) < 10:
      return int(number)
  return None


def _is_siglip(facts: Mapping[str, Any]) -> bool:
  return facts.get("tokenizer_class") in ("SiglipTokenizer", "SiglipTokenizerFast")


def _inside(path: Path, inside: Path) -> Path:
  real = path.resolve()
  if not real.is_relative_to(inside.resolve()):
    raise BadFile(path, f"leads out of {inside}")
  return real


def _facts(folder: Path, inside: Path, there: set[str]) -> dict[str, Any]:
  """What tokenizer_config.json and special_tokens_map.json say together."""
  found: dict[str, Any] = {}
  for name in ("special_tokens_map.json", "tokenizer_config.json"):
    if name in there:
      content = read_json(folder / name, inside=inside)
      if not isinstance(content, dict):
        raise BadFile(folder / name, "is no dictionary")
      found |= content
  return found


def _names(facts: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
  pairs = []
  for ours, roles in _ROLES.items():
    for role in roles:
      token = facts.get(role)
      token = token.get("content") if isinstance(token, dict) else token
      if isinstance(token, str):
        pairs.append((ours, token))
  return tuple(pairs)


def _lines(path: Path, inside: Path) -> list[str]:
  text = read_text(path, limit=tokenizer_json.MAX_BYTES, inside=inside)
  return text.removesuffix("\n").split("\n")


def _wordpiece(words: list[str], facts: Mapping[str, Any]) -> str:
  """A WordPiece vocabulary, with BERT's way of cutting words."""
  vocabulary = {word.rstrip("\r"): number for number, word in enumerate(words)}
  lowercase = facts.get("do_lower_case", True) is not False
  made = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
  made.normalizer = normalizers.BertNormalizer(
    lowercase=lowercase,
    strip_accents=facts.get("strip_accents"),
    handle_chinese_chars=facts.get("tokenize_chinese_chars", True) is not False,
  )
  made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  made.decoder = decoders.WordPiece()
  return made.to_str()


def _bpe(vocabulary: Path, merges: Path, inside: Path, facts: Mapping[str, Any]) -> str:
  """A vocabulary of bytes with its merges, as GPT-2 and RoBERTa have it, or CLIP."""
  words = read_json(vocabulary, limit=tokenizer_json.MAX_BYTES, inside=inside)
  pairs = [tuple(line.split(" ")) for line in _lines(merges, inside) if not line.startswith("#v")]
  pairs = [pair for pair in pairs if pair != ("",)]
  if any(len(pair) != 2 for pair in pairs):
    raise BadFile(merges, "has a line that is no pair of pieces")
  ends = isinstance(words, dict) and any(word.endswith(_WORD_END) for word in words)
  if ends and not set(pre_tokenizers.ByteLevel.alphabet()) <= words.keys():
    raise BadFile(vocabulary, f"has words that end in {_WORD_END} and not all bytes, as CLIP's")
  with tokenizer_json.refused(vocabulary, "is no BPE vocabulary"):
    if ends:
      return _clip_bpe(words, pairs)
    made = tokenizers.Tokenizer(models.BPE(words, pairs))
    prefix = facts.get("add_prefix_space", False) is True
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    made.decoder = decoders.ByteLevel()
    return made.to_str()


def _clip_bpe(words: dict[str, int], pairs: list[tuple[str, ...]]) -> str:
  """The same where the last piece of a word is another than the same letters within one."""
  made = tokenizers.Tokenizer(models.BPE(words, pairs, end_of_word_suffix=_WORD_END))
  spaces = normalizers.Replace(Regex(r"\s+"), " ")
  made.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])
  cut = pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True)
  as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False)
  made.pre_tokenizer = pre_tokenizers.Sequence([cut, as_bytes])
  ends = decoders.Replace(_WORD_END, " ")
  made.decoder = decoders.Sequence([decoders.ByteLevel(), ends])
  return made.to_str()


def _without_punctuation(text: str, facts: Mapping[str, Any]) -> str:
  """SigLIP's way with texts before its SentencePiece: small letters, no punctuation, one space."""
  made = tokenizers.Tokenizer.from_str(text)
  steps = [normalizers.Lowercase()] if facts.get("do_lower_case", True) is not False else []
  steps += [
    normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""),
    normalizers.Replace(Regex(r"\s+"), " "),
    normalizers.Strip(),
    *([] if made.normalizer is None else [made.normalizer]),
  ]
  made.normalizer = normalizers.Sequence(steps)
  return made.to_str()


def _declared(text: str, facts: Mapping[str, Any], path: Path) -> str:
  """The same with its special tokens declared, so that no text is cut into them."""
  with tokenizer_json.refused(path, "is no vocabulary"):
    made = tokenizers.Tokenizer.from_str(text)
    vocabulary = made.get_vocab()
    known = {other for names in SPECIALS.values() for other in names} | set(SPECIALS)
    known |= {name for _, name in _names(facts)}
    made.add_special_tokens(sorted(known & set(vocabulary), key=lambda name: vocabulary[name]))
    return made.to_str()


def _check_round_trip(tokenizer: Tokenizer, path: Path, *, lost: str) -> None:
  """Refuses a converted vocabulary that does not give a text back, its unknown letters apart."""
  words = [word for word in _SAMPLE.split() if tokenizer.unknown_id not in tokenizer.encode(word)]
  for sample in (" ".join(words), "a b"):
    found = tokenizer.decode(tokenizer.encode(sample), skip_special=False)
    kept = "".join(letter for letter in sample if letter not in lost)
    if _letters(found) != _letters(kept) and tokenizer.unknown_id not in tokenizer.encode(sample):
      raise UserError(f"{path}: converted to tokenizer.json it makes {found!r} of {sample!r}")


def _letters(text: str) -> str:
  """A text without what vocabularies may change: case, accents, spaces."""
  plain = unicodedata.normalize("NFKD", text).lower()
  return "".join(c for c in plain if not unicodedata.combining(c) and not c.isspace())
