"""Any text comes back from the byte-level tokenizer; ids and names are where the contract says."""

import itertools
import json
import unicodedata

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, processors

from pretrainjax.data.tokenizer import SPECIALS, Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.prepare.text.training import Tokenization, make_tokenizer

TEXTS = ["the cat sat on the mat", "a cat and the other cat", "The [MASK] is a word, the word!"] * 4


def make(kind: str = "bpe", **changes) -> Tokenizer:
  options = {"kind": kind, "vocab_size": 420, "num_sentinels": 7} | changes
  return make_tokenizer(Tokenization(**options), lambda: TEXTS, size=100)


BPE = make()


@settings(deadline=None)
@given(st.text())
def test_a_text_comes_back_in_nfc(text):
  assert BPE.decode(BPE.encode(text), skip_special=False) == unicodedata.normalize("NFC", text)


def test_ids_of_special_tokens_are_fixed():
  for kind in ("bpe", "wordpiece", "unigram"):
    made = make(kind, vocab_size=420 if kind == "bpe" else 60)
    five = (made.pad_id, made.unknown_id, made.begin_id, made.end_id, made.mask_id)
    assert five == (0, 1, 2, 3, 4), kind
    assert made.sentinel_ids == tuple(range(5, 12)), kind
    assert made.special_ids == tuple(range(12)), kind
    assert made.vocab_size == len(json.loads(made.text)["model"]["vocab"]), kind


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram"])
@pytest.mark.parametrize("text", [*SPECIALS, "<extra_id_0>", "a [MASK]<extra_id_1>[PAD] b"])
def test_a_text_that_spells_a_special_token_holds_none(kind, text):
  made = make(kind, vocab_size=420 if kind == "bpe" else 60)
  # Letters that were not in training are unknown to the other two.
  assert not {i for i in made.encode(text) if i != made.unknown_id} & set(made.special_ids)
  assert made.encode_batch([text, ""]) == [made.encode(text), []]


def test_words_begin_where_there_was_a_space():
  for kind in ("bpe", "wordpiece", "unigram"):
    made = make(kind, vocab_size=420 if kind == "bpe" else 80)
    ids = np.asarray(made.encode(" the cat sat"))
    assert made.starts_word.shape == (made.vocab_size,)
    assert made.starts_word[ids].sum() == 3, kind
    assert made.starts_word[ids[0]] and not made.starts_word[list(made.special_ids)].any(), kind


def test_offsets_lie_in_the_text():
  ids, offsets = BPE.encode_offsets("the cat sat")
  assert ids == BPE.encode("the cat sat")
  assert offsets == sorted(offsets) and offsets[0][0] == 0 and offsets[-1][1] == 11
  assert all(end == begin for (_, end), (begin, _) in itertools.pairwise(offsets))


def test_the_fingerprint_goes_by_content():
  spaced = Tokenizer(json.dumps(json.loads(BPE.text), indent=4))
  assert spaced.fingerprint == BPE.fingerprint != make(num_sentinels=6).fingerprint


def test_the_fingerprint_leaves_out_what_is_never_done():
  made = tokenizers.Tokenizer.from_str(BPE.text)
  made.enable_truncation(3)
  made.enable_padding(length=9)
  made.post_processor = processors.TemplateProcessing("[CLS] $A", None, [("[CLS]", 2)])
  wrapping = Tokenizer(made.to_str())
  assert wrapping.encode("the cat sat") == BPE.encode("the cat sat")
  assert wrapping.fingerprint == BPE.fingerprint


def test_others_names_are_known(tmp_path):
  vocabulary = {name: i for i, name in enumerate(["<s>", "<pad>", "</s>", "<unk>", "a", "<mask>"])}
  made = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
  made.save(str(tmp_path / "tokenizer.json"))
  loaded = Tokenizer.load(tmp_path / "tokenizer.json")
  five = (loaded.pad_id, loaded.unknown_id, loaded.begin_id, loaded.end_id, loaded.mask_id)
  assert five == (1, 3, 0, 2, 5)
  assert loaded.sentinel_ids == () and loaded.special_ids == (0, 1, 2, 3, 5)


def test_what_is_no_tokenizer_is_refused_in_one_line(tmp_path):
  path = tmp_path / "tokenizer.json"
  with pytest.raises(UserError, match="cannot be read as tokenizer.json"):
    Tokenizer.load(path)
  path.write_text('{"model": 1}')
  with pytest.raises(UserError, match="is no tokenizer.json of `tokenizers`"):
    Tokenizer.load(path)
  tokenizers.Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).save(str(path))
  with pytest.raises(UserError, match=r"has no token \[PAD\], \[UNK\], \[CLS\]"):
    Tokenizer.load(path)
