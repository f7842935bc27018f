"""Mutated sound files end as a sound, or in a reason of a few words that can be counted."""

import contextlib
import io
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from hypothesis import strategies as st
from rounds import both, bytes_or_edited, edited, fuzz, result_or_line

from pretrainjax.data.sound import BadSound, read_sound
from pretrainjax.prepare.audio.check import SoundFile, examined
from pretrainjax.prepare.audio.columns import AudioFields
from pretrainjax.prepare.audio.example import Facts, Sound
from pretrainjax.prepare.audio.look import Look
from pretrainjax.prepare.audio.metadata import Metadata, read_metadata
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


TABLES = {
  "m.tsv": b"client_id\tpath\tsentence\nann\t1.wav\tOne.\nbob\t2.wav\tTwo.\n",
  "m.csv": b'file,label\n"a/1.wav",yes\n2,no\n',
  "m.jsonl": b'{"audio": "1.wav", "text": "one"}\n{"audio": "2", "text": 2}\n',
  "m.json": b'[{"audio": "1.wav", "text": "one", "speaker": 1}]',
  "a.trans.txt": b"1 ONE WORD\n2 TWO WORDS\n",
  "text": b"u1 one\nu2 two\n",
  "wav.scp": b"u1 1.wav\nu2 flac -d 2.wav |\n",
  "utt2spk": b"u1 ann\nu2 bob\n",
  "1.txt": "caf\u00e9\n".encode(),
}


@both(400)
def test_what_is_said_of_sound_files(cases, tmp_path):
  def check(tables):
    for name, data in zip(TABLES, tables, strict=True):
      (tmp_path / name).write_bytes(data)
    with contextlib.closing(sqlite3.connect("")) as database:
      metadata = Metadata(database, tmp_path)
      for path in ("1.wav", "2.wav", "a/1.wav"):
        metadata.add_sound(path)
      metadata.index()
      fields = AudioFields()
      result_or_line(lambda: read_metadata(metadata, list(TABLES), fields=fields))
      for path in ("1.wav", "2.wav", "a/1.wav"):
        facts = metadata.facts_of(path) or Facts()
        for value in (facts.label, facts.text, facts.split, *facts.strings.values()):
          assert value is None or (value and value.encode())
      assert all(item.key.isprintable() and item.reason for item in metadata.wrong())

  fuzz(check, st.tuples(*map(edited, TABLES.values())), cases=cases)
