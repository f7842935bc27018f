import json
import os
import shutil
from pathlib import Path

import pytest
import tokenizers
from fake_texts import word_tokenizer

from pretrainjax.convert.vocabulary import read, read_pad_id
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


def clip(folder, *, without=()):
  """A vocabulary whose words end in "</w>", as CLIP's."""
  letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
  merged = ["ca", "cat</w>", "th", "the</w>", "<|startoftext|>", "<|endoftext|>"]
  words = [*letters, *(f"{letter}</w>" for letter in letters), *merged]
  found = {word: number for number, word in enumerate(words) if word not in without}
  (folder / "vocab.json").write_text(json.dumps(found))
  (folder / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\nt h\nth e</w>\n")
  facts = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}
  (folder / "tokenizer_config.json").write_text(json.dumps(facts | {"pad_token": "!"}))
  return found


def test_bpe_of_clip(tmp_path):
  words = clip(tmp_path)
  found = read(tmp_path, inside=tmp_path)
  pieces = ["the</w>", "cat</w>", "'", "s</w>", "1</w>", "2</w>", "!", "!</w>"]
  assert found.encode("The  CAT's\n12!!") == [words[piece] for piece in pieces]
  assert found.decode(found.encode("A cat")) == "a cat "
  assert (found.begin_id, found.end_id, found.pad_id) == (516, 517, 0)
  assert found.end_id not in found.encode("the <|endoftext|>")


def test_words_that_end_otherwise_are_refused(tmp_path):
  clip(tmp_path, without=["!"])
  with pytest.raises(UserError, match="has words that end in </w> and not all bytes"):
    read(tmp_path, inside=tmp_path)


def test_siglip_reads_small_letters_without_punctuation(tmp_path):
  models = Path(__file__).parents[1] / "prepare" / "text" / "sentencepiece_models"
  shutil.copy(models / "unigram.model", tmp_path / "spiece.model")
  plain = read(tmp_path, inside=tmp_path)
  (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "SiglipTokenizer"}')
  found = read(tmp_path, inside=tmp_path)
  assert found.encode(" The State,\tof OUR-union!") == plain.encode("the state of ourunion")
  assert plain.encode("The State") != plain.encode("the state")
  facts = {"tokenizer_class": "SiglipTokenizer", "do_lower_case": False}
  (tmp_path / "tokenizer_config.json").write_text(json.dumps(facts))
  found = read(tmp_path, inside=tmp_path)
  assert found.encode("The State.") == plain.encode("The State")


@pytest.mark.parametrize(
  ("facts", "expected"),
  [
    ({"pad_token": "<pad>", "added_tokens_decoder": {"7": {"content": "<pad>"}}}, 7),
    ({"pad_token": {"content": "b"}, "added_tokens_decoder": {"1": {"content": "b"}}}, 1),
    ({"pad_token": "<pad>", "added_tokens_decoder": {"x": {"content": "<pad>"}, "3": 4}}, None),
    ({"added_tokens_decoder": {"7": {"content": None}}}, None),
    ({"pad_token": "<pad>", "added_tokens_decoder": []}, None),
    ({}, None),
  ],
)
def test_what_rows_are_filled_up_with(facts, expected, tmp_path):
  (tmp_path / "tokenizer_config.json").write_text(json.dumps(facts))
  assert read_pad_id(tmp_path, inside=tmp_path) == expected


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
