"""Tokenizers are trained the same way every time, or taken from elsewhere and completed."""

import json
import time

import pytest
import tokenizers
from tokenizers import models

from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.prepare.text.training import Tokenization, existing, make_tokenizer

TEXTS = [
  f"{a} {b} said the {c}, and then it was over." for a in "xyzvw" for b in "abcd" for c in "uvw"
]


def train(**changes) -> Tokenizer:
  options = Tokenization(**({"vocab_size": 380, "num_sentinels": 4} | changes))
  return make_tokenizer(options, lambda: TEXTS, size=1000)


@pytest.mark.parametrize("kind, size", [("bpe", 380), ("wordpiece", 60), ("unigram", 40)])
def test_training_twice_gives_the_same_tokenizer(kind, size):
  first = train(kind=kind, vocab_size=size)
  assert first.vocab_size <= size
  assert all(train(kind=kind, vocab_size=size).text == first.text for _ in range(3))
  assert len(first.encode("said the")) <= 6


def test_wordpiece_knows_every_frequent_letter():
  made = train(kind="wordpiece", vocab_size=60)
  assert made.decode(made.encode("SAID vanity")) == "said vanity"
  cased = train(kind="wordpiece", vocab_size=60, lowercase=False)
  assert cased.unknown_id in cased.encode("SAID")


def test_a_sample_is_taken_evenly():
  seen = []

  def texts():
    for text in TEXTS:
      seen.append(text)
      yield text

  made = make_tokenizer(Tokenization(vocab_size=361, sample_bytes=500), texts, size=1000)
  assert made.vocab_size == 361 and len(seen) == len(TEXTS)
  half = make_tokenizer(Tokenization(vocab_size=370), lambda: TEXTS[::2], size=1000)
  sampled = Tokenization(vocab_size=370, sample_bytes=500)
  assert make_tokenizer(sampled, lambda: TEXTS, size=1000).text == half.text


def test_an_endless_word_is_left_out_of_training():
  endless = "ab" * 100_000
  texts = [*TEXTS, f"said {endless} said"]
  made = make_tokenizer(Tokenization(vocab_size=380), lambda: texts, size=1000)
  assert not any("abab" in token for token in json.loads(made.text)["model"]["vocab"])
  assert made.decode(made.encode(endless)) == endless


def test_special_tokens_that_another_lacks_come_behind_its_own(tmp_path):
  path = tmp_path / "tokenizer.json"
  made = tokenizers.Tokenizer(models.WordLevel({"<|endoftext|>": 0, "a": 1}, unk_token="a"))
  made.save(str(path))
  found = existing(path)
  assert (found.begin_id, found.end_id) == (0, 0)
  assert (found.pad_id, found.unknown_id, found.mask_id, found.vocab_size) == (2, 3, 4, 5)
  whole = tmp_path / "whole.json"
  whole.write_text(found.text)
  assert existing(whole).text == found.text
  with pytest.raises(UserError, match="--config.tokenizer.path: '.*none.json' cannot be read"):
    existing(tmp_path / "none.json")


def test_ranges_are_checked():
  with pytest.raises(ValueError, match="vocab_size=300: expected at least 361"):
    Tokenization(vocab_size=300)
  with pytest.raises(ValueError, match="num_sentinels=-1"):
    Tokenization(num_sentinels=-1)
  with pytest.raises(ValueError, match="min_frequency=0"):
    Tokenization(min_frequency=0)
  letters = " ".join(map(chr, range(0x4E00, 0x4F00)))
  with pytest.raises(UserError, match="Unigram cannot be trained: .*not large enough"):
    make_tokenizer(Tokenization(kind="unigram", vocab_size=110), lambda: [letters], size=1)


def test_characters_are_tokens_and_the_rarest_are_unknown():
  texts = ["abba cab \u00e9\u00e9", "abe\u0301"]
  made = make_tokenizer(
    Tokenization(kind="characters", vocab_size=100, num_sentinels=0), lambda: texts, size=1
  )
  assert made.vocab_size == 5 + len("abc \u00e9")
  assert (made.pad_id, made.unknown_id, made.begin_id, made.end_id, made.mask_id) == (0, 1, 2, 3, 4)
  for text in ("a cab", " a  b ", "e\u0301"):
    assert made.decode(made.encode(text)) == text.replace("e\u0301", "\u00e9")
    assert len(made.encode(text)) == len(text.replace("e\u0301", "\u00e9"))
  assert made.decode(made.encode("[MASK] abc"), skip_special=True) == " abc"
  few = make_tokenizer(
    Tokenization(kind="characters", vocab_size=7, num_sentinels=0), lambda: texts, size=1
  )
  assert few.encode("abc") == [5, 6, few.unknown_id]


def test_a_document_of_nothing_but_space_takes_no_time():
  """A run of 400,000 spaces took a minute: training looks at each word as a whole."""
  text = "a " + " " * 400_000 + "b"
  start = time.monotonic()
  made = make_tokenizer(Tokenization(vocab_size=400, num_sentinels=2), lambda: [text], size=9)
  assert made.encode("a b") and time.monotonic() - start < 10
