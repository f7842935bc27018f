"""Files become examples, or what is wrong with them, in order and in pieces."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tiny_sounds import tone, write_wav

from pretrainjax.prepare.audio import check
from pretrainjax.prepare.audio.check import CLIPPED, TOO_LONG, SoundFile, examined
from pretrainjax.prepare.audio.example import Facts, Sound
from pretrainjax.prepare.audio.look import Look
from pretrainjax.prepare.contract import Unreadable


@pytest.fixture
def look_at(tmp_path):
  """Returns `look_at(paths, **limits)`: what comes of files."""

  def look_at(*paths, facts=Facts(), **limits):
    items = [SoundFile(path, path.name, facts) for path in paths]
    with ThreadPoolExecutor(2) as pool:
      return list(examined(items, look=Look(**limits), pool=pool))

  return look_at


def test_files_in_their_order_and_what_is_wrong(tmp_path, look_at):
  good = [write_wav(tmp_path / f"{i}.wav", tone(i)) for i in range(20)]
  (tmp_path / "words.wav").write_bytes(b"words")
  (tmp_path / "other.wav").write_bytes(b"\0\0\0 ftypM4A more")
  missing = tmp_path / "missing.wav"
  found = look_at(*good[:10], tmp_path / "words.wav", tmp_path / "other.wav", missing, *good[10:])
  assert [item.key for item in found if isinstance(item, Sound)] == [path.name for path in good]
  assert found[10:13] == [
    Unreadable("words.wav", "not decodable"),
    Unreadable("other.wav", "format that is not read: M4A"),
    Unreadable("missing.wav", "cannot be read (No such file or directory)"),
  ]


def test_long_files_are_cut_into_pieces_or_left_out(tmp_path, look_at, monkeypatch):
  monkeypatch.setattr(check, "_AT_ONCE", 8000)  # the rest is decoded when it is asked for
  sound = (32768 * np.concatenate([tone(i) for i in range(17)])).astype(np.int16)  # 3.4 s
  path = write_wav(tmp_path / "a.wav", sound)
  found = look_at(path, max_seconds=1.0)
  assert [item.key for item in found] == [f"a.wav+0000{i}" for i in range(4)]
  assert [len(item.audio) for item in found] == [16_000, 16_000, 16_000, 6400]
  assert {item.group for item in found} == {"a.wav"}
  whole = np.concatenate([item.audio for item in found])
  assert np.array_equal(whole, sound)
  assert look_at(path, max_seconds=1.0, too_long="drop")[0].reason == "too long"
  told = look_at(path, facts=Facts(text="words"), max_seconds=1.0)
  assert told == [Unreadable("a.wav", TOO_LONG, fault=False)]
  assert len(look_at(path, facts=Facts(text="words"), max_seconds=3.4)) == 1


def test_of_a_long_file_that_breaks_off_the_end_is_told(tmp_path, look_at):
  path = write_wav(tmp_path / "a.wav", np.concatenate([tone(i) for i in range(17)]))
  path.write_bytes(path.read_bytes()[:-100])
  *pieces, last = look_at(path, max_seconds=1.0)
  assert len(pieces) == 3 and last == Unreadable("a.wav", "cut short")
  assert look_at(path) == [Unreadable("a.wav", "cut short")]


def test_more_than_a_day_is_refused(tmp_path, look_at, monkeypatch):
  monkeypatch.setattr(check, "_MOST", 32_000)
  path = write_wav(tmp_path / "a.flac", np.zeros(200_000, np.float32))
  assert look_at(path)[-1].reason.startswith("longer than")


def test_clipping_is_remarked(tmp_path, look_at):
  loud = np.clip(4 * tone(3), -1, 1)
  (found,) = look_at(write_wav(tmp_path / "a.wav", loud))
  assert [remark.what for remark in found.remarks] == [CLIPPED]
  (dropped,) = look_at(write_wav(tmp_path / "a.wav", loud), max_clipped=0.1)
  assert dropped == Unreadable("a.wav", "clipped", fault=False)
