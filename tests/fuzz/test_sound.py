"""Mutated sound files end as a sound, or in a reason of a few words that can be counted."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from hypothesis import strategies as st
from rounds import both, bytes_or_edited, fuzz

from pretrainjax.data.sound import BadSound, read_sound
from pretrainjax.prepare.audio.check import SoundFile, examined
from pretrainjax.prepare.audio.example import Facts, Sound
from pretrainjax.prepare.audio.look import Look
from pretrainjax.prepare.contract import Unreadable


def files() -> list[bytes]:
  """A short noise in every format that is often met."""
  noise = 0.1 * np.random.default_rng(0).normal(size=(600, 2)).astype(np.float32)
  found = []
  for kind, subtype in (
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "IMA_ADPCM"),
    ("RF64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
  ):
    out = io.BytesIO()
    soundfile.write(out, noise, 16_000, format=kind, subtype=subtype)
    found.append(out.getvalue())
  return found


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@both(2000)
def test_sound_files(cases, tmp_path, monkeypatch):
  monkeypatch.setattr("pretrainjax.prepare.audio.check._MOST", 1 << 22)
  look = Look(max_seconds=1.0)

  pool = ThreadPoolExecutor(1)

  def check(data, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    try:
      found = read_sound(path, max_seconds=10.0)
      assert found.dtype == np.int16 and found.ndim == 1 and len(found)
    except BadSound as error:
      assert str(error).isprintable() and len(str(error)) < 60
    file = SoundFile(path, "a", Facts())
    for item in examined([file], look=look, pool=pool):
      assert isinstance(item, Sound | Unreadable)
      assert len(item.reason) < 60 if isinstance(item, Unreadable) else len(item.audio) <= 16_000

  suffixes = st.sampled_from([".wav", ".flac", ".ogg", ".mp3", ".gsm"])
  with pool:
    fuzz(check, bytes_or_edited(*files()), suffixes, cases=cases)
