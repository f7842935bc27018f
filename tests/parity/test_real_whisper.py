"""`predict transcribe` with a real Whisper, beside faster-whisper; runs where both are.

PRETRAINJAX_WHISPER is the folder of a Whisper in CTranslate2's form, PRETRAINJAX_CLIPS one of short
English sounds: tests/parity/test_real_whisper.py needs both, and the package faster-whisper.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from pretrainjax.predict.command import main
from pretrainjax.types import Sound

faster_whisper = pytest.importorskip("faster_whisper")
pytest.importorskip("soundfile")
pytest.importorskip("soxr")

MODEL, CLIPS = (os.environ.get(f"PRETRAINJAX_{name}") for name in ("WHISPER", "CLIPS"))
pytestmark = [
  pytest.mark.parity,
  pytest.mark.skipif(not (MODEL and CLIPS), reason="no PRETRAINJAX_WHISPER and _CLIPS"),
]


@pytest.fixture(scope="module")
def theirs():
  """Returns `theirs(sound, **options)`: the text that faster-whisper writes."""
  model = faster_whisper.WhisperModel(MODEL, device="cpu", compute_type="float32")

  def theirs(sound, **options) -> str:
    segments, _ = model.transcribe(sound, beam_size=1, language="en", **options)
    return "".join(segment.text for segment in segments).strip()

  return theirs


def test_the_command_writes_the_texts_of_faster_whisper(tmp_path, theirs):
  table = tmp_path / "said.jsonl"
  assert not main(["transcribe", f"--workdir=ct2:{MODEL}", f"--input={CLIPS}", f"--out={table}"])
  found = [json.loads(line) for line in table.read_text().splitlines()]
  expected = {row["file_name"]: theirs(str(Path(CLIPS) / row["file_name"])) for row in found}
  assert len(found) >= 10
  assert {row["file_name"]: row["text"] for row in found} == expected


def test_the_encoder_gives_the_features_of_ctranslate2():
  import ctranslate2

  from pretrainjax.checkpoint.encoder import load_encoder
  from pretrainjax.predict.audio_inputs import read

  encoder = load_encoder(f"ct2:{MODEL}")
  samples = read(sorted(Path(CLIPS).rglob("*.wav"))[0])
  frames = encoder.features(Sound(samples[None], np.array([len(samples)], np.int32)))
  bands = np.ascontiguousarray(np.asarray(frames.features).transpose(0, 2, 1))
  model = ctranslate2.models.Whisper(MODEL, device="cpu", compute_type="float32")
  theirs = np.array(model.encode(ctranslate2.StorageView.from_array(bands)))
  np.testing.assert_allclose(encoder.encode(frames).tokens, theirs, atol=1e-3)


def test_transformers_writes_the_same_texts_with_what_is_exported(tmp_path):
  transformers = pytest.importorskip("transformers")
  import torch

  from pretrainjax.export.command import main as export
  from pretrainjax.predict.audio_inputs import read

  folder, table = tmp_path / "exported", tmp_path / "said.jsonl"
  assert not export([f"--workdir=ct2:{MODEL}", f"--out={folder}"])
  assert not main(["transcribe", f"--workdir=hf:{folder}", f"--input={CLIPS}", f"--out={table}"])
  model = transformers.WhisperForConditionalGeneration.from_pretrained(folder)
  processor = transformers.WhisperProcessor.from_pretrained(folder)
  for row in map(json.loads, table.read_text().splitlines()):
    samples = read(Path(CLIPS) / row["file_name"]).astype(np.float32) / 32_768
    inputs = processor(samples, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
      tokens = model.generate(inputs.input_features, return_timestamps=True)
    assert processor.batch_decode(tokens, skip_special_tokens=True)[0].strip() == row["text"]


def test_a_long_sound_has_the_words_that_faster_whisper_has(tmp_path, theirs):
  import soundfile

  from pretrainjax.predict.audio_inputs import read

  sounds = [read(path) for path in sorted(Path(CLIPS).rglob("*.wav"))]
  pause = np.zeros(8000, np.int16)
  whole = np.concatenate([part for sound in sounds * 2 for part in (sound, pause)])
  path, out = tmp_path / "long.wav", tmp_path / "long.txt"
  soundfile.write(path, whole, 16_000)
  assert not main(["transcribe", f"--workdir=ct2:{MODEL}", f"--input={path}", f"--out={out}"])
  # The authors' code and ours hear silence behind the end; faster-whisper fills the spectrogram of
  # the last window up with zeros, which are no silence, so that it needs some to hear.
  heard = np.pad(whole.astype(np.float32) / 32_768, (0, 30 * 16_000))
  expected = theirs(heard, condition_on_previous_text=False)
  assert len(whole) > 45 * 16_000 and out.read_text().split() == expected.split()
