import pytest
import recognisers
from recognisers import letter_tokenizer

from pretrainjax.errors import UserError
from pretrainjax.generation.arpa import read_arpa
from pretrainjax.predict import ngrams


def run(tmp_path, *flags):
  found = recognisers.loaded(tmp_path, letter_tokenizer())
  (tmp_path / "in.txt").write_text("A b!\n\nAb a\n<s>\n")
  recognisers.run(ngrams, found, f"--input={tmp_path / 'in.txt'}", *flags)


def test_words_and_labels_are_counted(tmp_path, capsys):
  out = tmp_path / "lm.arpa"
  run(tmp_path, f"--out={out}", "--order=2")
  model = read_arpa(out)
  assert model.order == 2 and set(model.words) == {"<s>", "</s>", "<unk>", "a", "b", "ab", "s"}
  assert f"of 7 words: {out}" in capsys.readouterr().out
  run(tmp_path, f"--out={tmp_path / 'labels.arpa'}", "--of=labels", "--normalizer=lower")
  model = read_arpa(tmp_path / "labels.arpa")
  assert {"<space>", "a", "b"} < set(model.words) and model.order == 3
  assert model.number["a"] in model.following[model.start]


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    ((), "--out: found nothing"),
    (("--out=in.txt/no/a.arpa",), "--out: there is no folder"),
    (("--out=a.arpa", "--order=0"), "--order: found 0, expected 1 to 10"),
  ],
)
def test_mistakes_are_told(tmp_path, monkeypatch, flags, message):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(UserError, match=message):
    run(tmp_path, *flags)


def test_texts_without_words_are_told(tmp_path):
  (tmp_path / "empty.txt").write_text("!!!\n")
  found = recognisers.loaded(tmp_path, letter_tokenizer())
  flags = (f"--input={tmp_path / 'empty.txt'}", f"--out={tmp_path / 'lm.arpa'}")
  with pytest.raises(UserError, match="found no sentence, expected some"):
    recognisers.run(ngrams, found, *flags)
