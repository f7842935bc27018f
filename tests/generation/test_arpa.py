import gzip

import numpy as np
import pytest

from pretrainjax.evaluators.ngram_backoff import fit_backoff
from pretrainjax.generation.arpa import read_arpa, write_arpa
from pretrainjax.generation.backoff import Backoff
from pretrainjax.untrusted import BadFile

# As SRILM writes it, with what KenLM leaves out.
TEXT = """Made by hand.

\\data\\
ngram 1=4
ngram  2 = 2

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.30103
-0.5 a -0.2
-0.6\t</s>

\\2-grams:
-0.1\t<s> a
-0.4\ta </s>

\\end\\
"""


def stored(tmp_path, text):
  path = tmp_path / "model.arpa"
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  return path


def test_a_file_is_read(tmp_path):
  path = stored(tmp_path, TEXT)
  model = read_arpa(path)
  assert model.words == ("<unk>", "<s>", "a", "</s>") and model.order == 2
  assert model.log_prob(model.start, 2) / np.log(10) == pytest.approx(-0.1)
  assert model.log_prob((2,), 2) / np.log(10) == pytest.approx(-0.7)
  packed = tmp_path / "model.arpa.gz"
  packed.write_bytes(gzip.compress(path.read_bytes()))
  assert read_arpa(packed).following == model.following


def test_what_is_written_is_read(tmp_path):
  words = np.random.default_rng(0).integers(0, 9, (50, 4))
  model = fit_backoff([[f"w{i}" for i in row] for row in words], order=3)
  write_arpa(tmp_path / "a.arpa", model)
  again = read_arpa(tmp_path / "a.arpa")
  assert again.words == model.words and again.following.keys() == model.following.keys()
  for context in model.following:
    np.testing.assert_allclose(again.log_probs(context), model.log_probs(context), rtol=1e-5)
  assert [path.name for path in tmp_path.iterdir()] == ["a.arpa"]
  with pytest.raises(ValueError, match="found the word 'a b', expected one without spaces"):
    write_arpa(tmp_path / "b.arpa", Backoff(("a b",), {(): {0: 0.0}}, {}))


@pytest.mark.parametrize(
  ("old", "new", "message"),
  [
    ("\\data\\", "", "no .data. in its first lines"),
    ("ngram 1=4", "ngram 1=5", "line 13: found 1 fields, expected a number, 1 words"),
    ("ngram 1=4", "ngram 1=3", "line 11: found '-0.6.*', expected '.2-grams:'"),
    (
      "ngram 1=4",
      "ngram 1=99999999999",
      "line 7: found 100,000,000,001 n-grams",
    ),
    ("ngram 1=4", "ngram 2=4", "expected 'ngram 1=COUNT'"),
    ("-1.0", "nan", "line 8: found nan, expected the logarithm"),
    ("-1.0", "inf", "found inf"),
    ("-1.0", "minus", "found 'minus', expected a number"),
    ("<s> a", "<s> b", "line 14: found 'b', which is no 1-gram"),
    ("a </s>", "<s> a", "found the n-gram of an earlier line again"),
    ("-0.2\n-0.6\t</s>", "-0.2\n-0.6\ta", "found the n-gram of an earlier line again"),
    ("\\end\\", "", "the file ends too early"),
    ("\\end\\", "-1 a", "expected .end"),
    ("<unk>", "x" * 5000, "line 8: found a line of more than"),
    ("\n\n\\2", "\n" * 2000 + "\\2", "found 1000 empty lines"),
  ],
)
def test_what_is_no_such_file_is_told_in_a_line(tmp_path, old, new, message):
  assert old in TEXT
  with pytest.raises(BadFile, match=message) as error:
    read_arpa(stored(tmp_path, TEXT.replace(old, new, 1)))
  assert str(error.value).startswith(f"{tmp_path}") and "\n" not in str(error.value)


def test_damage_is_told(tmp_path):
  packed = gzip.compress(TEXT.encode() * 50)
  for data in (b"\xff\xfe\x80", packed[:40], packed[:30] + b"\0" * 30, b"", b"\x1f\x8b"):
    with pytest.raises(BadFile):
      read_arpa(stored(tmp_path, data))
  with pytest.raises(BadFile, match="cannot be read .No such file"):
    read_arpa(tmp_path / "missing.arpa")
  with pytest.raises(BadFile, match="is no regular file"):
    read_arpa(tmp_path)
