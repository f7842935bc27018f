"""Second stage: the tokenizer, trained on the training documents or taken from elsewhere."""

import collections
import dataclasses
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from pretrainjax.data import tokenizer_json
from pretrainjax.data.tokenizer import SPECIALS, Tokenizer, sentinel
from pretrainjax.errors import UserError
from pretrainjax.prepare.text.sentencepiece import SUFFIX as SENTENCEPIECE
from pretrainjax.prepare.text.sentencepiece import tokenizer_json_of
from pretrainjax.ranges import NonNegativeInt, PositiveInt, Range, check_ranges
from pretrainjax.untrusted import BadFile
from pretrainjax.user_path import user_path

_ALPHABET = 1000  # characters that WordPiece can spell words with, as in BERT's trainer
_SPACE = "\u2581"  # what stands for a space in a token
# No words; training looks at each as a whole, in a time that grows with the square of its length.
_LONG = re.compile(r"\S{4096,}|\s{4096,}")


@dataclasses.dataclass(frozen=True)
class Tokenization:
  """The tokenizer that a dataset gets: one that is trained, or one from a file.

  Attributes:
    path: an existing tokenizer.json, or a .model of SentencePiece; None trains one.
    kind: byte-level "bpe" (knows every text), "wordpiece" (BERT's), "unigram" (T5's), or
      "characters": one token each, the most frequent where there are too many.
    vocab_size: the most tokens, special ones and sentinels included; a small corpus gives fewer.
    lowercase: whether WordPiece makes all letters small and drops accents.
    min_frequency: how often a pair of tokens must come to be joined; Unigram has no such limit.
    num_sentinels: tokens <extra_id_0> and so on, for span corruption.
    sample_bytes: the most text to train on, chosen evenly from all of it.

  Reference: Sennrich et al. (arXiv 1508.07909) with bytes as in GPT-2; Schuster and Nakajima 2012
  as in BERT (arXiv 1810.04805); Kudo (arXiv 1804.10959).
  """

  path: str | None = None
  kind: Literal["bpe", "wordpiece", "unigram", "characters"] = "bpe"
  vocab_size: PositiveInt = 8192
  lowercase: bool = True
  min_frequency: PositiveInt = 2
  num_sentinels: NonNegativeInt = 100
  sample_bytes: Annotated[int, Range(1, 2**63 - 1)] = 1 << 30

  def __post_init__(self):
    least = len(SPECIALS) + self.num_sentinels + (256 if self.kind == "bpe" else 1)
    if self.path is None and self.vocab_size < least:
      raise ValueError(
        f"vocab_size={self.vocab_size}: expected at least {least}, with {self.num_sentinels} "
        f"sentinels{' and 256 bytes' if self.kind == 'bpe' else ''}"
      )
    check_ranges(self)

  @property
  def special_tokens(self) -> list[str]:
    """The special tokens, in order of their ids."""
    return [*SPECIALS, *map(sentinel, range(self.num_sentinels))]


def make_tokenizer(
  options: Tokenization, texts: Callable[[], Iterable[str]], *, size: int
) -> Tokenizer:
  """Trains a tokenizer, or takes the one of `options.path`.

  Args:
    options: the kind of the tokenizer and its sizes.
    texts: yields all texts to train on, whenever it is called.
    size: the number of bytes of all texts.

  Raises:
    UserError: for a path that holds none.
  """
  if options.path is not None:
    return existing(user_path(options.path))
  every = -(-size // options.sample_bytes)

  def sample() -> Iterator[str]:
    for place, text in enumerate(texts()):
      if place % every == 0:
        yield from _without_long_words(text)

  kinds = {
    "bpe": _bpe,
    "wordpiece": _wordpiece,
    "unigram": _unigram,
    "characters": _characters,
  }
  return Tokenizer(kinds[options.kind](options, sample))


def existing(path: Path) -> Tokenizer:
  """Reads the tokenizer of a file, and adds the special tokens that it lacks behind its own.

  Raises:
    UserError: for a file that is missing or none.
  """
  read = tokenizer_json_of if path.suffix == SENTENCEPIECE else tokenizer_json.read
  try:
    found = Tokenizer(read(path), path)
  except BadFile as error:
    raise UserError(f"--config.tokenizer.path: '{path}' {error.reason}") from error
  missing = [name for name in SPECIALS if found.special_id(name) is None]
  if not missing:
    return found
  made = tokenizers.Tokenizer.from_str(found.text)
  made.add_special_tokens(missing)
  return Tokenizer(made.to_str(), path)


def _bpe(options: Tokenization, texts: Callable[[], Iterator[str]]) -> str:
  made = tokenizers.Tokenizer(models.BPE())
  made.normalizer = normalizers.NFC()
  made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  made.decoder = decoders.ByteLevel()
  trainer = trainers.BpeTrainer(
    vocab_size=options.vocab_size,
    min_frequency=options.min_frequency,
    special_tokens=options.special_tokens,
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
  )
  made.train_from_iterator(texts(), trainer)
  return made.to_str()


def _wordpiece(options: Tokenization, texts: Callable[[], Iterator[str]]) -> str:
  made = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
  made.normalizer = normalizers.BertNormalizer(lowercase=options.lowercase)
  made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  made.decoder = decoders.WordPiece()
  # The trainer numbers letters as it meets words, in another order each time, and breaks ties by
  # those numbers. Letters that stand among the special tokens are numbered by us.
  limit = (options.vocab_size - len(options.special_tokens)) // 2
  letters = _letters(made.normalizer, texts())[: min(_ALPHABET, limit)]
  trainer = trainers.WordPieceTrainer(
    vocab_size=options.vocab_size,
    min_frequency=options.min_frequency,
    special_tokens=[*options.special_tokens, *letters, *(f"##{letter}" for letter in letters)],
    show_progress=False,
    limit_alphabet=0,
  )
  made.train_from_iterator(texts(), trainer)
  facts = json.loads(made.to_str())
  special = set(options.special_tokens)
  facts["added_tokens"] = [t for t in facts["added_tokens"] if t["content"] in special]
  return json.dumps(facts, ensure_ascii=False)


def _letters(normalizer: Any, texts: Iterable[str]) -> list[str]:
  """Characters in words, the most frequent first."""
  counts: collections.Counter[str] = collections.Counter()
  for text in texts:
    counts.update(normalizer.normalize_str(text))
  found = ((letter, count) for letter, count in counts.items() if not letter.isspace())
  return [letter for letter, _ in sorted(found, key=lambda pair: (-pair[1], pair[0]))]


def _unigram(options: Tokenization, texts: Callable[[], Iterator[str]]) -> str:
  made = tokenizers.Tokenizer(models.Unigram())
  made.normalizer = normalizers.NFC()
  # Brackets stand alone: else the piece "[MASK]", which the model has, would match a text's.
  made.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.Metaspace(), pre_tokenizers.Split(Regex(r"[\[\]<>]"), "isolated")]
  )
  made.decoder = decoders.Metaspace()
  trainer = trainers.UnigramTrainer(
    vocab_size=options.vocab_size,
    special_tokens=options.special_tokens,
    unk_token="[UNK]",
    show_progress=False,
  )
  try:
    made.train_from_iterator(texts(), trainer)
  except Exception as error:  # `tokenizers` raises nothing more specific
    raise UserError(f"--config.tokenizer: Unigram cannot be trained: {error}") from error
  facts = json.loads(made.to_str())
  facts["model"]["vocab"] = _settled(facts["model"]["vocab"], len(options.special_tokens))
  return json.dumps(facts, ensure_ascii=False)


def _characters(options: Tokenization, texts: Callable[[], Iterator[str]]) -> str:
  """A BPE that joins nothing; a space is a token as others are."""
  counts: collections.Counter[str] = collections.Counter()
  for text in texts():
    counts.update(unicodedata.normalize("NFC", text).replace(" ", _SPACE))
  by_count = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
  kept = by_count[: options.vocab_size - len(options.special_tokens)]
  names = [*options.special_tokens, *sorted(letter for letter, _ in kept)]
  vocabulary = {name: number for number, name in enumerate(names)}
  made = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="[UNK]"))
  made.normalizer = normalizers.NFC()
  made.pre_tokenizer = pre_tokenizers.Metaspace(_SPACE, prepend_scheme="never", split=False)
  made.decoder = decoders.Metaspace(_SPACE, prepend_scheme="never", split=False)
  made.add_special_tokens(options.special_tokens)
  return made.to_str()


def _settled(pieces: list, num_special: int) -> list:
  """Scores and order of pieces without what differs by chance from one training to the next.

  Sums are made in parallel, in any order; and letters that were pruned come back, in any order,
  with scores a little above the lowest.
  """
  special, rest = pieces[:num_special], pieces[num_special:]
  lowest = min((score for piece, score in rest if len(piece) > 1), default=-10.0)
  margin = lowest + 1e-4 * (len(rest) + 1)
  scores = {piece: lowest if len(piece) == 1 and score < margin else score for piece, score in rest}
  settled = [[piece, round(score, 6)] for piece, score in scores.items()]
  return special + sorted(settled, key=lambda pair: (-pair[1], pair[0]))


def _without_long_words(text: str) -> Iterator[str]:
  """The text, or where a word is absurdly long, what is around it."""
  start = 0
  for word in _LONG.finditer(text):
    yield text[start : word.start()]
    start = word.end()
  yield text[start:]
