"""A question's windows say where the answer is, in tokens, whatever the tokenizer makes of it."""

import json

import numpy as np
import pytest
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from pretrainjax.data.tokenizer import SPECIALS, Tokenizer
from pretrainjax.data.windows import ABSENT, UNKNOWN, Window
from pretrainjax.prepare.text.document import Answer, Document
from pretrainjax.prepare.text.form import Form
from pretrainjax.prepare.text.training import Tokenization, make_tokenizer
from pretrainjax.prepare.text.windows import Windows

TEXT = "\U0001f600 The \u0130stanbul caf\u00e9 (1895-1943), \u1e9e\ufb01ne! New\u00a0York 12.5% "
CONTEXT = (TEXT * 3).strip()
ANSWERS = ("\u0130stanbul", "caf\u00e9", "1895", "(1895-1943)", "New\u00a0York", "\U0001f600")


def lowered() -> Tokenizer:
  """One letter may become two, and accents none: offsets are those of the text that is given."""
  made = tokenizers.Tokenizer(models.WordPiece({s: i for i, s in enumerate(SPECIALS)}))
  made.normalizer = normalizers.Sequence(
    [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
  )
  made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
  letters = sorted(set(made.normalizer.normalize_str(CONTEXT)) - {" "})
  words = [*SPECIALS, *letters, *(f"##{letter}" for letter in letters)]
  vocabulary = {word: i for i, word in enumerate(words)}
  made.model = models.WordPiece(vocabulary, unk_token="[UNK]")
  return Tokenizer(made.to_str())


def trained(kind: str) -> Tokenizer:
  rules = Tokenization(kind=kind, vocab_size=400 if kind == "bpe" else 120, num_sentinels=0)
  return make_tokenizer(rules, lambda: iter([CONTEXT] * 3), size=len(CONTEXT.encode()))


TOKENIZERS = {"lowered": lowered} | {
  kind: lambda kind=kind: trained(kind) for kind in ("bpe", "wordpiece", "unigram")
}


def windows_of(made: Tokenizer, document: Document, **form) -> list[dict]:
  windows = Windows(Form("examples", **form), made)
  return list(windows.records(document, np.asarray(made.encode(document.text), np.int32)))


def question(answer: str, start: int, *others: Answer) -> Document:
  answers = (Answer(answer, start), *others)
  return Document("k", "The caf\u00e9?", second=CONTEXT, answers=answers)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_span_holds_the_answer_and_nothing_else(kind):
  made = TOKENIZERS[kind]()
  for answer in (
    "\u0130stanbul",
    "caf\u00e9",
    "1895",
    "(1895-1943)",
    "New\u00a0York",
    "\U0001f600",
  ):
    start = CONTEXT.index(answer, 5)
    found = windows_of(made, question(answer, start), window=40, stride=7, question=20)
    held = [record for record in found if record["span"][0] >= 0]
    assert held, answer
    for record in held:
      offsets = np.reshape(record["offsets"], (-1, 2))
      text = Window("k", record["context"], offsets, ()).text(*record["span"])
      assert answer in text and len(text) < len(answer) + 6, (text, answer)
      assert record["second"].tolist() == made.encode(CONTEXT)[_place(made, found, record)]


def _place(made, found, record):
  """Where a record's window lies among the tokens of the whole context."""
  number = int(record["key"].partition("#")[2] or 0)
  room = 40 - 3 - len(record["tokens"])
  size, total = len(record["second"]), len(made.encode(CONTEXT))
  return slice(number * 7, number * 7 + size) if size == room else slice(total - size, total)


def test_all_windows_say_what_they_are_of():
  made = TOKENIZERS["bpe"]()
  records = windows_of(made, question("caf\u00e9", CONTEXT.index("caf\u00e9")), window=24, stride=5)
  assert [r["key"] for r in records] == [f"k#{i}" for i in range(len(records))]
  for name, value in (("question", "k"), ("answers", ["caf\u00e9"])):
    assert all(record[name] == value for record in records)
  assert len({record["context_id"] for record in records}) == 1
  assert all(len(r["tokens"]) + len(r["second"]) + 3 <= 24 for r in records)
  # A question has at most half of a window, or what it is allowed.
  assert max(len(r["tokens"]) for r in records) <= 12
  assert len(windows_of(made, question("x", -1), question=2)[0]["tokens"]) == 2


def test_answers_without_a_place():
  made = TOKENIZERS["bpe"]()
  spans = {r["span"] for r in windows_of(made, question("nowhere", -1))}
  assert spans == {(UNKNOWN, UNKNOWN)}
  none = Document("k", "q", second=CONTEXT, answers=())
  assert {r["span"] for r in windows_of(made, none)} == {(ABSENT, ABSENT)}
  # The first that has one counts.
  there = Answer("caf\u00e9", CONTEXT.index("caf\u00e9"))
  (record,) = windows_of(made, question("nowhere", -1, there))
  assert record["span"][0] >= 0 and record["answers"] == ["nowhere", "caf\u00e9"]


def test_documents_come_back_from_json():
  document = question("caf\u00e9", 3)
  assert Document.from_json(document.to_json()) == document
  none = document._replace(answers=())
  assert Document.from_json(none.to_json()) == none and json.loads(none.to_json())["answers"] == []
  assert (document.split_key, document._replace(group="g").split_key) == (CONTEXT, "g")
  assert document._replace(answers=None).split_key == document.text
