"""Words and tags in columns."""

import io

from pretrainjax.prepare.text import conll
from pretrainjax.prepare.text.conll import Broken, Sentence, columns_of, sentences

CONLL = "-DOCSTART- -X- O\n\nAnna NN B-PER\nsleeps VB O\n\n\nBonn NN B-LOC\n"
UNIVERSAL = "# text = du bist\n1-2\tdubist\t_\t_\n1\tdu\tdu\tPRON\n2\tbist\tsein\tAUX\n"


def read(text: str, **options) -> list:
  return list(sentences(io.BytesIO(text.encode()), **options))


def test_sentences():
  assert read(CONLL) == [
    Sentence(3, {"1": ["Anna", "sleeps"], "2": ["NN", "VB"], "3": ["B-PER", "O"]}),
    Sentence(7, {"1": ["Bonn"], "2": ["NN"], "3": ["B-LOC"]}),
  ]
  assert read(CONLL.replace(" ", "\t").replace("\n", "\r\n")) == read(CONLL)
  assert read("New York\tB-LOC\nis\tO\n")[0].columns["1"] == ["New York", "is"]
  assert read("") == [] == read("\n\n-DOCSTART- O\n\n")


def test_universal_dependencies():
  (found,) = read(UNIVERSAL, is_universal=True)
  assert found.columns["2"] == ["du", "bist"] and found.columns["4"] == ["PRON", "AUX"]


def test_what_is_broken_is_told_and_the_rest_is_read(monkeypatch):
  assert read("a O\nb\n\nc O\n") == [
    Broken(1, "1 columns in a line, expected 2"),
    Sentence(4, {"1": ["c"], "2": ["O"]}),
  ]
  assert read("a\n")[0].reason == "1 columns in a line, expected 2"
  assert list(sentences(io.BytesIO(b"\xff O\n\na O\n")))[0] == Broken(1, "not UTF-8")
  monkeypatch.setattr(conll, "_MOST_WORDS", 3)
  assert [type(x) for x in read("a O\n" * 5)] == [Broken, Sentence]


def test_columns_are_told_from_text():
  assert columns_of(CONLL.encode() * 3) == "columns"
  assert not columns_of(b"Dear sir,\nI am B-PER\n\nYours")
  assert not columns_of(b"a b\nc d\ne f\n") and not columns_of(b"")
  assert not columns_of(b"\xff\xfe\nO\n")


def test_columns_of_universal_dependencies_are_told_by_their_ten():
  rows = [f"{name}\tdu\tdu\tPRON\t_\t_\t2\tnsubj\t_\t_" for name in ("1-2", "1", "2", "2.1")]
  text = "\n".join(["# text = du bist", *rows, "", ""]).encode()
  assert columns_of(text) == "conllu"
  assert columns_of(text.replace(b"1-2\t", b"x\t")) is None
  assert columns_of(text.replace(b"\t_\t_\t2", b"\t_\t2")) is None  # nine
