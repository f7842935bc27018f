"""Cut, damaged, endless, silent and not finite sound, in a folder and in a prepared dataset.

Such files are counted, named and left out as long as they are few; beyond the cap the command ends
in one line. No sample that was changed on the way is ever taken for the real one.
"""

import io
import json
import random
import shutil
import struct
import time

import binaries
import damage
import numpy as np
import pytest
import soundfile
import tiny_sounds

from pretrainjax.data.audio_data import AudioData
from pretrainjax.errors import UserError


def encoded(seed: int, kind: str = "WAV", subtype: str = "PCM_16", *, rate: int = 16_000) -> bytes:
  """A second of noise as a file."""
  noise = 0.1 * np.random.default_rng(seed).normal(size=rate).astype(np.float32)
  out = io.BytesIO()
  soundfile.write(out, noise, rate, format=kind, subtype=subtype)
  return out.getvalue()


def wav(samples: bytes, *, rate: int = 16_000, channels: int = 1, claims: int = 0) -> bytes:
  """A WAV of 16 bits that claims a rate, channels and a length."""
  align = channels * 2 % 65_536
  form = struct.pack("<HHIIHH", 1, channels, rate, rate * align, align, 16)
  size = struct.pack("<I", claims or len(samples))
  data = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + size + samples
  return b"RIFF" + struct.pack("<I", 4 + len(data)) + b"WAVE" + data


def not_finite(value: float) -> bytes:
  out = io.BytesIO()
  soundfile.write(out, np.array([0.1, value, 0.1]), 16_000, format="WAV", subtype="FLOAT")
  return out.getvalue()


def flipped(data: bytes, place: int) -> bytes:
  return data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]


FLAC, MP3 = encoded(2, "FLAC"), encoded(4, "MP3", "MPEG_LAYER_III")
OGG, OPUS = encoded(3, "OGG", "VORBIS"), encoded(5, "OGG", "OPUS")
# What cannot be decoded.
BROKEN = {
  "cut.wav": encoded(1)[:9000],
  "cut.flac": FLAC[: len(FLAC) // 2],
  "cut.ogg": OGG[: len(OGG) // 2],
  "cut.opus": OPUS[: len(OPUS) // 2],
  "cut.mp3": MP3[: len(MP3) // 2],
  "flipped.flac": flipped(FLAC, len(FLAC) // 2),
  "header.wav": encoded(6)[:30],
  "empty.wav": b"",
  "no_samples.wav": wav(b""),
  "words.mp3": b"not a sound, but words",
  "nan.wav": not_finite(float("nan")),
  "inf.wav": not_finite(float("inf")),
  "claim.wav": wav(bytes(range(200)), claims=1 << 30),
  "stretched.wav": wav(bytes(range(200)), rate=1),
  "channels.wav": wav(bytes(range(200)), channels=60_000),
  "phone.m4a": b"\0\0\0 ftypM4A " + bytes(100),
}
# What can, and is no example.
LEFT_OUT = {"silent.wav": wav(bytes(9000)), "short.wav": wav(bytes(range(200)))}


@pytest.fixture
def folder(tmp_path):
  """Twenty good sounds and all the broken ones."""
  root = tmp_path / "raw"
  for name in ("a", "b"):
    (root / name).mkdir(parents=True)
    for i in range(10):
      (root / name / f"{i}.wav").write_bytes(encoded(100 * (name == "b") + i))
  for name, data in (BROKEN | LEFT_OUT).items():
    (root / "a" / name).write_bytes(data)
  with open(root / "a" / "huge.mp3", "wb") as file:  # takes no room on the disk
    file.truncate(20 << 30)
  return root


def test_in_a_folder(folder, tmp_path, capsys, trial):
  def prepare(*flags):
    place = (f"--source={folder}", "--name=tones", f"--data_dir={tmp_path / 'data'}")
    return binaries.call(capsys, "prepare", "audio_folder", *place, *flags)

  start = time.monotonic()
  ended = prepare()
  count = len(BROKEN) + 1
  assert ended.status == 2 and f"{count} of {count + 20} sounds cannot" in ended.errors[-1]
  assert not (tmp_path / "data" / "tones" / "1.0.0").exists()
  trial(seconds=time.monotonic() - start)
  assert prepare("--config.max_dropped=0.6").status == 0
  report = json.loads((tmp_path / "data/tones/1.0.0/prepared.json").read_text())
  names = (*BROKEN, *LEFT_OUT, "huge.mp3")
  assert {key for key, _ in report["dropped_files"]} == {f"a/{name}" for name in names}
  assert report["written"] == {"train": 18, "test": 2}
  for _ in BROKEN:
    trial()


def sounds(data_dir, *, cap: float = 1.0) -> list[int | None]:
  """Which record each of an epoch's sounds is, None where another one stands in for it."""
  data = AudioData(
    datasets="counts",
    data_dir=str(data_dir),
    batch_size=8,
    max_seconds=0.1,
    max_bad_fraction=cap,
  )
  found = []
  for batch in data.one_pass():
    for audio, count, valid in zip(
      batch["audio"], batch["num_samples"], batch["valid"], strict=True
    ):
      assert np.array_equal(audio[:count], audio[0] + np.arange(count))
      found.append(int(audio[0]) // 100 if valid else None)
  return found[: data.num_examples]


def test_flipped_bits_in_a_prepared_set(tmp_path, trial):
  """Records carry hashes: a flip is found, or it hit what holds no record."""
  good = tmp_path / "good"
  tiny_sounds.write("counts", good, [tiny_sounds.counting(i, 90 + i) for i in range(30)])
  expected, chance = sounds(good), random.Random(0)
  assert sorted(expected) == list(range(30))
  found_some = False
  for number in range(12):
    bad = tmp_path / f"bad{number}"
    shutil.copytree(good, bad)
    for _ in range(20):
      damage.flip(next(bad.glob("counts/*/counts-train.array_record*")), chance)
    start = time.monotonic()
    try:
      found = sounds(bad)
    except UserError as error:  # none of them can be read
      assert "records cannot be unpacked" in str(error)
      found = [None] * len(expected)
    assert all(seen in (None, true) for seen, true in zip(found, expected, strict=True))
    found_some |= None in found
    trial(seconds=time.monotonic() - start)
  assert found_some
