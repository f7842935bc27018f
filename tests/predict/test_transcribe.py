import json

import numpy as np
import pytest
import recognisers
from recognisers import letter_tokenizer

from pretrainjax.errors import UserError
from pretrainjax.evaluators.ngram_backoff import fit_backoff
from pretrainjax.generation.arpa import write_arpa
from pretrainjax.objectives.base import Objective
from pretrainjax.predict import transcribe

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")

A, B, C, SPACE = 6, 7, 8, 5  # of the tokens
AB_C = [0, A, A, 0, B, SPACE, 0, C]


@pytest.fixture
def place(tmp_path):
  folder = tmp_path / "sounds"
  folder.mkdir()
  return folder


def spoken(path, classes):
  soundfile.write(path, recognisers.saying(classes), 16_000, subtype="PCM_16")
  return path


def run(tmp_path, *flags, **options):
  found = recognisers.loaded(tmp_path, letter_tokenizer(), **options)
  recognisers.run(transcribe, found, *flags)


def test_one_sound_is_shown_or_written_in_any_form(tmp_path, place, capsys):
  path = spoken(place / "talk.wav", AB_C)
  run(tmp_path, f"--input={path}")
  assert capsys.readouterr().out == "ab c\n"
  for form in ("txt", "srt", "vtt", "json"):
    run(tmp_path, f"--input={path}", f"--out={tmp_path / 'talk'}.{form}")
    assert "transcripts of 1 sounds, 0 s: " in capsys.readouterr().out
  assert (tmp_path / "talk.txt").read_text() == "ab c\n"
  assert "00:00:00,020 --> 00:00:00,160\nab c" in (tmp_path / "talk.srt").read_text()
  found = json.loads((tmp_path / "talk.json").read_text())
  assert found["words"] == [
    {"word": "ab", "begin": 0.02, "end": 0.1},
    {"word": "c", "begin": 0.14, "end": 0.16},
  ]


def test_a_long_sound_says_each_word_once(tmp_path, place, capsys):
  rng = np.random.default_rng(0)
  classes, words = [0], []
  for _ in range(150):
    word = rng.integers(A, C + 1, rng.integers(1, 4))
    words.append("".join("abc"[i - A] for i in word))
    classes += [x for letter in word for x in (letter, 0)] + [SPACE] + [0] * rng.integers(1, 4)
  path = spoken(place / "talk.wav", classes)
  for beam in (0, 4):
    run(tmp_path, f"--input={path}", "--window=2", "--overlap=0.6", f"--beam={beam}")
    assert capsys.readouterr().out.split() == words


def test_a_folder_becomes_a_folder_and_a_stopped_command_goes_on(tmp_path, place, capsys):
  (place / "more").mkdir()
  spoken(place / "a.wav", AB_C)
  spoken(place / "more" / "b.wav", [C, 0, C])
  (place / "bad.wav").write_bytes(b"RIFF")
  out = tmp_path / "texts"
  run(tmp_path, f"--input={place}", f"--out={out}", "--form=txt")
  assert (out / "more" / "b.wav.txt").read_text() == "cc\n"
  shown = capsys.readouterr().out
  assert "transcripts of 2 sounds" in shown
  assert "left out 1 that cannot be read: bad.wav (is no sound" in shown
  (out / "a.wav.txt").unlink()
  (place / "bad.wav").unlink()
  run(tmp_path, f"--input={place}", f"--out={out}", "--form=txt")
  assert capsys.readouterr().out.startswith("1 sounds have transcripts in")
  assert (out / "a.wav.txt").read_text() == "ab c\n"
  with pytest.raises(UserError, match="has the transcripts of all 2 sounds already"):
    run(tmp_path, f"--input={place}", f"--out={out}", "--form=txt")
  run(tmp_path, f"--input={place}")
  assert capsys.readouterr().out == "a.wav\tab c\nmore/b.wav\tcc\n"


@pytest.mark.parametrize("of", ["words", "labels"])
def test_a_language_model_settles_what_sounds_alike(tmp_path, place, capsys, of):
  path = tmp_path / "lm.arpa"
  sentences = [["ac", "c"]] * 9 if of == "words" else [["a", "c", "<space>", "c"]] * 9
  write_arpa(path, fit_backoff(sentences, order=2))
  file = spoken(place / "a.wav", AB_C)
  flags = (f"--input={file}", f"--lm={path}", f"--lm_of={of}", "--beam=20")
  run(tmp_path, *flags, "--alpha=0.1")
  assert capsys.readouterr().out == "ab c\n"
  run(tmp_path, *flags, "--alpha=40")
  assert capsys.readouterr().out != "ab c\n"


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    ((), "--input: found nothing"),
    (("--input=no.wav",), "--input: no file or folder 'no.wav'"),
    (("--input=A", "--out=a.doc"), "--out: found 'a.doc', expected .txt .srt .vtt .json"),
    (("--input=A", "--out=a.srt", "--form=vtt"), "--out: found 'a.srt', expected .vtt"),
    (("--input=A", "--out=no/a.srt"), "--out: there is no folder 'no'"),
    (("--input=A", "--form=vtt"), "--form: found vtt, but no --out"),
    (("--input", "A", "A", "--out=B"), "two sounds are called 'a.wav'"),
    (("--input=A", "--window=0.5"), "--window: found 0.5, expected 1 to 3600"),
    (("--input=A", "--overlap=16"), "--overlap: found 16, expected 0 to half of the window"),
    (("--input=A", "--batch_size=0"), "--batch_size: found 0"),
    (("--input=A", "--beam=-1"), "--beam: found -1, expected at least 0"),
    (("--input=A", "--alpha=nan"), "--alpha: found nan"),
    (("--input=A", "--lm=no.arpa"), "--lm: no.arpa: cannot be read"),
    (("--input=TOKENS",), "--input: .*tokenizer.json: is no sound"),
  ],
)
def test_mistakes_are_told(tmp_path, place, flags, message):
  file = spoken(place / "a.wav", AB_C)
  names = {"=A": f"={file}", "A": str(file), "=TOKENS": f"={tmp_path / 'tokenizer.json'}"}
  names |= {"=B": f"={tmp_path / 'new'}"}
  typed = []
  for flag in flags:
    name, mark, value = flag.partition("=")
    typed.append(names.get(flag) or (name + names.get(mark + value, mark + value)))
  with pytest.raises(UserError, match=message) as error:
    run(tmp_path, *typed)
  assert "\n" not in str(error.value)


def test_other_runs_are_refused(tmp_path, place):
  file = spoken(place / "a.wav", AB_C)
  with pytest.raises(UserError, match="is a run of Objective, expected a run of CTC, or a"):
    run(tmp_path, f"--input={file}", objective=Objective())
