import json
import os

import pytest
import tokenizers
from fake_texts import word_tokenizer

from pretrainjax.convert.vocabulary import read
from pretrainjax.errors import UserError

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = list("abcdefghijklmnopqrstuvwxyz0123456789.,()?'") + ["\u4e2d", "\u6587"]


def wordpiece(folder, **facts):
  words = [*SPECIALS, *LETTERS, *(f"##{letter}" for letter in LETTERS), "##\u00e9"]
  (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
  (folder / "tokenizer_config.json").write_text(json.dumps(facts))


def test_wordpiece(tmp_path):
  wordpiece(tmp_path)
  found = read(tmp_path, inside=tmp_path)
  ids = [found.pad_id, found.unknown_id, found.begin_id, found.end_id, found.mask_id]
  assert ids == [0, 1, 2, 3, 4] and found.special_ids == (0, 1, 2, 3, 4)
  assert found.decode(found.encode("Abc [MASK]")).replace(" ", "").startswith("abc")
  assert found.mask_id not in found.encode("[MASK]")


def test_wordpiece_with_capitals(tmp_path):
  wordpiece(tmp_path, do_lower_case=False)
  assert 1 in read(tmp_path, inside=tmp_path).encode("Abc")


def test_bpe(tmp_path):
  alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
  words = {word: i for i, word in enumerate([*alphabet, "ab", "abc", "<|endoftext|>"])}
  (tmp_path / "vocab.json").write_text(json.dumps(words))
  (tmp_path / "merges.txt").write_text("#version: 0.2\na b\nab c\n")
  facts = {"bos_token": {"content": "<|endoftext|>"}, "eos_token": "<|endoftext|>"}
  (tmp_path / "tokenizer_config.json").write_text(json.dumps(facts))
  found = read(tmp_path, inside=tmp_path)
  assert found.encode("abc") == [words["abc"]]
  assert found.decode(found.encode("Caf\u00e9 \u4e2d")) == "Caf\u00e9 \u4e2d"
  assert found.begin_id == found.end_id == words["<|endoftext|>"] and found.mask_id is None
  assert found.special_ids == (words["<|endoftext|>"],)


def test_tokenizer_json_goes_first_and_roles_have_names(tmp_path):
  (tmp_path / "tokenizer.json").write_text(word_tokenizer("a b c").text)
  (tmp_path / "special_tokens_map.json").write_text('{"cls_token": "a"}')
  wordpiece(tmp_path)
  found = read(tmp_path, inside=tmp_path)
  assert found.begin_id == found.encode("a")[0] and found.end_id == 3


def test_a_folder_without_one(tmp_path):
  assert read(tmp_path, inside=tmp_path) is None


@pytest.mark.parametrize(
  "files, reason",
  [
    ({"vocab.json": "{}", "merges.txt": "a b c\n"}, "a line that is no pair"),
    ({"vocab.json": "[]", "merges.txt": "a b\n"}, "is no BPE vocabulary"),
    ({"vocab.json": "{", "merges.txt": "a b\n"}, "is no JSON"),
    ({"vocab.txt": "[UNK]\n", "tokenizer_config.json": "[]"}, "is no dictionary"),
    ({"tokenizer.model": "x"}, "no SentencePiece model"),
  ],
)
def test_files_that_are_none_are_refused(files, reason, tmp_path):
  for name, content in files.items():
    (tmp_path / name).write_text(content)
  with pytest.raises(UserError, match=reason):
    read(tmp_path, inside=tmp_path)


@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer.json", "tokenizer.model"])
def test_links_that_lead_out_are_refused(name, tmp_path):
  os.symlink("/etc/passwd", tmp_path / name)
  with pytest.raises(UserError, match="leads out of"):
    read(tmp_path, inside=tmp_path)
