"""What a tokenizer.json may not hold is found before the library, which would end the process."""

import base64
import json

import pytest
from byte_text import byte_tokenizer

from pretrainjax.data import tokenizer_json
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.prepare.text.training import existing


def replace(string: str, content: str) -> dict:
  return {"type": "Replace", "pattern": {"String": string}, "content": content}


def table(size: int, data: bytes = b"") -> dict:
  encoded = base64.b64encode(size.to_bytes(4, "little") + data).decode()
  return {"type": "Precompiled", "precompiled_charsmap": encoded}


def sequence(*steps: dict) -> dict:
  return {"type": "Sequence", "normalizers": list(steps)}


FINE = [
  None,
  {"type": "NFC"},
  sequence({"type": "Prepend", "prepend": "\u2581"}, replace(" ", "\u2581")),
  sequence(replace("``", '"'), replace("''", '"'), {"type": "NFKD"}),
  {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"},
]
WRONG = {
  "growth": (sequence(*[replace("a", "a" * 1000)] * 4), "1000000000000 times as long"),
  "deep growth": (sequence(sequence(replace("a", "a" * 100)), replace("a", "a" * 100)), "10000"),
  "prepended": ({"type": "Prepend", "prepend": "x" * 5000}, "5000 times"),
  "nothing replaced": (replace("", "x"), "replaces the empty text"),
  "no base64": ({"type": "Precompiled", "precompiled_charsmap": "%"}, "no base64"),
  "no table": ({"type": "Precompiled"}, "no base64"),
  "short table": ({"type": "Precompiled", "precompiled_charsmap": "AAA="}, "cut short"),
  "huge table": (table(0xFFFFFFFC), "cut short"),
  "odd table": (table(3, bytes(8)), "cut short"),
  "table in a list": (sequence(table(1 << 30, bytes(8))), "cut short"),
}


@pytest.mark.parametrize("normalizer", FINE)
def test_what_tokenizers_have_is_fine(normalizer):
  tokenizer_json.check(json.dumps({"normalizer": normalizer}))


@pytest.mark.parametrize("name", WRONG)
def test_what_would_end_the_process_is_refused(name):
  normalizer, words = WRONG[name]
  with pytest.raises(ValueError, match=words):
    tokenizer_json.check(json.dumps({"normalizer": normalizer}))


def changed(tmp_path, change):
  facts = json.loads(byte_tokenizer().text)
  change(facts)
  path = tmp_path / "tokenizer.json"
  path.write_text(json.dumps(facts))
  return path


def vocabulary(token: str, index: int):
  return lambda facts: facts["model"]["vocab"].__setitem__(token, index)


@pytest.mark.parametrize("name", WRONG)
def test_reading_a_file_checks_it(tmp_path, name):
  normalizer, words = WRONG[name]
  path = changed(tmp_path, lambda facts: facts.update(normalizer=normalizer))
  for read in (Tokenizer.load, existing):
    with pytest.raises(UserError, match=words):
      read(path)


def test_ids_that_no_table_of_embeddings_can_have(tmp_path):
  path = changed(tmp_path, vocabulary("huge", (1 << 32) - 1))
  for read in (Tokenizer.load, existing):
    with pytest.raises(UserError, match="has id 4294967295, expected fewer than 16777216"):
      read(path)


def test_an_empty_token_begins_no_word(tmp_path):
  found = Tokenizer.load(changed(tmp_path, vocabulary("", 300)))
  assert not found.starts_word[300] and len(found.starts_word) == 301


def test_ids_of_added_tokens_are_those_that_the_library_gave(tmp_path):
  def add(facts):
    facts["added_tokens"].append(facts["added_tokens"][0] | {"id": 4_000_000_000, "content": "new"})

  found = Tokenizer.load(changed(tmp_path, add))
  assert max(found.special_ids) < found.vocab_size == len(found.starts_word)


def test_a_panic_of_the_library_is_one_line(tmp_path):
  def change(facts):
    facts["normalizer"] = table(4, b"\xff\xff\xff\xff")

  found = Tokenizer.load(changed(tmp_path, change))
  for use in (found.encode, lambda text: found.encode_batch([text]), found.encode_offsets):
    with pytest.raises(UserError, match="tokenizer.json: fails") as refusal:
      use("some words")
    assert str(refusal.value).isprintable()


def test_text_that_is_none_is_one_line():
  with pytest.raises(UserError, match="fails"):
    byte_tokenizer().encode("\ud800")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"[" * 100_000, b"\xff", b"null", b"{"])
def test_what_is_no_tokenizer(tmp_path, data):
  path = tmp_path / "tokenizer.json"
  path.write_bytes(data)
  for read in (Tokenizer.load, existing):
    with pytest.raises(UserError, match="tokenizer.json") as refusal:
      read(path)
    assert str(refusal.value).isprintable()


def test_a_file_of_all_the_memory_is_not_read(tmp_path):
  path = tmp_path / "tokenizer.json"
  with open(path, "wb") as file:
    file.truncate(1 << 40)
  for read in (Tokenizer.load, existing):
    with pytest.raises(UserError, match="more than 256 MiB"):
      read(path)
