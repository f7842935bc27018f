"""`predict transcribe` with a Whisper of random values, in the form of transformers."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import recognisers
import whispers
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import load
from pretrainjax.command import Request
from pretrainjax.errors import UserError
from pretrainjax.predict import transcribe

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
  return load(f"hf:{whispers.make(tmp_path_factory.mktemp('whisper'))}")


@pytest.fixture
def sounds(tmp_path):
  folder, rng = tmp_path / "sounds", np.random.default_rng(0)
  folder.mkdir()
  for name, seconds in (("a", 0.9), ("b", 0.2), ("c", 0.5)):
    noise = rng.integers(-9000, 9000, round(seconds * 16_000)).astype(np.int16)
    soundfile.write(folder / f"{name}.wav", noise, 16_000)
  return folder


def run(loaded, *flags):
  parser = argparse.ArgumentParser()
  transcribe.add_flags(parser)
  options = parser.parse_args([*flags, "--batch_size=1"])
  transcribe.work(Request(ConfigDict(), Path(f"hf:{loaded.workdir}"), options), loaded)


def test_a_table_of_a_folder_goes_on_and_says_that_a_machine_wrote_it(
  loaded, sounds, tmp_path, capsys
):
  table = tmp_path / "said.jsonl"
  run(loaded, f"--input={sounds}", f"--out={table}")
  assert "transcripts of 3 sounds, 2 s: " in capsys.readouterr().out
  rows = [json.loads(line) for line in table.read_text().splitlines()]
  assert [row["file_name"] for row in rows] == ["a.wav", "b.wav", "c.wav"]
  assert [row["duration"] for row in rows] == [0.9, 0.2, 0.5]
  by = f"machine: hf:{'/'.join(loaded.workdir.parts[-2:])}"
  assert {(row["transcriber"], row["language"]) for row in rows} == {(by, "en")}
  table.write_text("".join(json.dumps(row) + "\n" for row in rows[1:]))
  run(loaded, f"--input={sounds}", f"--out={table}", "--form=jsonl")
  assert capsys.readouterr().out.startswith("2 sounds have transcripts in")
  again = [json.loads(line) for line in table.read_text().splitlines()]
  assert again == [*rows[1:], rows[0]]
  with pytest.raises(UserError, match="has the transcripts of all 3 sounds already"):
    run(loaded, f"--input={sounds}", f"--out={table}")


def test_times_are_those_of_segments(loaded, sounds, tmp_path):
  for form in ("json", "srt", "vtt"):
    run(loaded, f"--input={sounds / 'a.wav'}", f"--out={tmp_path / 'a'}.{form}")
  found = json.loads((tmp_path / "a.json").read_text())
  assert found["language"] == "en" and found["seconds"] == 0.9 and "words" not in found
  assert all(0 <= one["begin"] < one["end"] <= 0.9 for one in found["segments"])
  assert (tmp_path / "a.srt").read_text().count(" --> ") == len(found["segments"])
  assert (tmp_path / "a.vtt").read_text().startswith("WEBVTT")


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (("--language=de",), "--language: found de, but this model transcribes English alone"),
    (("--task=translate",), "--task: found translate, but"),
    (("--no_speech=2",), "--no_speech: found 2, expected a probability"),
    (("--beam=3",), "--beam: found 3, which is for a run of CTC, not for a Whisper"),
    (("--window=9",), "--window: found 9.0, which is for a run of CTC"),
    (("--out=a.txt", "--form=jsonl"), "--out: found 'a.txt', expected .jsonl"),
    (("--out=no/a.jsonl",), "--out: there is no folder 'no'"),
    (("--out=JUNK",), "junk.jsonl' is no table of transcripts"),
  ],
)
def test_mistakes_are_told(loaded, sounds, tmp_path, flags, message):
  junk = tmp_path / "junk.jsonl"
  junk.write_text("junk\n")
  typed = [flag.replace("JUNK", str(junk)) for flag in flags]
  with pytest.raises(UserError, match=message) as error:
    run(loaded, f"--input={sounds}", *typed)
  assert "\n" not in str(error.value)


def test_flags_of_whispers_are_refused_by_runs_of_ctc(tmp_path, sounds):
  found = recognisers.loaded(tmp_path, recognisers.letter_tokenizer())
  with pytest.raises(UserError, match="--language: found de, which is for a Whisper, not for a"):
    recognisers.run(transcribe, found, f"--input={sounds}", "--language=de")
