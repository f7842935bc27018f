import builtins

import numpy as np
import pytest

from pretrainjax.errors import UserError
from pretrainjax.predict.audio_inputs import RATE, find_sounds, read, seconds_told
from pretrainjax.untrusted import BadFile

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("soxr")


def tone(seconds, *, rate=RATE, channels=1, hertz=440.0):
  wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
  return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


@pytest.mark.parametrize(
  ("name", "rate", "channels", "options"),
  [
    ("a.wav", 16_000, 1, {"subtype": "PCM_16"}),
    ("a.wav", 48_000, 2, {"subtype": "PCM_24"}),
    ("a.wav", 8_000, 1, {"subtype": "FLOAT"}),
    ("a.flac", 44_100, 3, {}),
    ("a.ogg", 22_050, 1, {}),
    ("a.mp3", 44_100, 2, {}),
  ],
)
def test_any_format_becomes_one_channel_at_16_khz(tmp_path, name, rate, channels, options):
  path = tmp_path / name
  soundfile.write(path, tone(1.0, rate=rate, channels=channels), rate, **options)
  found = read(path)
  assert found.dtype == np.int16 and abs(len(found) - RATE) < RATE / 10
  middle = slice(RATE // 4, RATE // 2)
  spectrum = np.abs(np.fft.rfft(found[middle]))
  assert abs(spectrum.argmax() * 4 - 440) < 8
  assert 0.4 * 32768 < np.abs(found[middle]).max() < 0.6 * 32768
  assert seconds_told(path) == pytest.approx(1.0, abs=0.1)


def test_16_bits_at_16_khz_stay_as_they_are(tmp_path):
  samples = np.random.default_rng(0).integers(-(2**15), 2**15, 700_000).astype(np.int16)
  soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="PCM_16")
  np.testing.assert_array_equal(read(tmp_path / "a.wav"), samples)


def test_what_is_no_sound_is_told_in_a_line(tmp_path):
  (tmp_path / "a.wav").write_bytes(b"RIFF....")
  soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), RATE)
  soundfile.write(tmp_path / "nan.wav", np.full(9, np.nan, np.float32), RATE, subtype="FLOAT")
  soundfile.write(tmp_path / "slow.wav", np.zeros(9, np.float32), 100)
  for name, message in (
    ("a.wav", "is no sound that can be decoded"),
    ("empty.wav", "is empty"),
    ("nan.wav", "not finite"),
    ("slow.wav", "has 100 samples a second"),
    ("none.wav", "cannot be read"),
    (".", "is no regular file"),
  ):
    with pytest.raises(BadFile, match=message) as error:
      read(tmp_path / name)
    assert "\n" not in str(error.value)
    assert seconds_told(tmp_path / name) in (0.0, 0.09) or name == "nan.wav"


def test_files_and_folders_are_found(tmp_path):
  (tmp_path / "talks" / "b").mkdir(parents=True)
  for name in ("talks/a.wav", "talks/b/c.MP3", "talks/notes.txt", "one"):
    (tmp_path / name).write_bytes(b"")
  paths, names = find_sounds([str(tmp_path / "talks"), str(tmp_path / "one")])
  assert names == ["a.wav", "b/c.MP3", "one"] and all(path.is_file() for path in paths)
  with pytest.raises(UserError, match="no file or folder '.*tolks'; did you mean 'talks'"):
    find_sounds([str(tmp_path / "tolks")])
  (tmp_path / "none").mkdir()
  with pytest.raises(UserError, match="holds no sound: .wav"):
    find_sounds([str(tmp_path / "none")])


def test_without_libraries_the_command_is_told(tmp_path, monkeypatch):
  ours = builtins.__import__

  def no_soxr(name, *arguments, **options):
    if name == "soxr":
      raise ImportError(name)
    return ours(name, *arguments, **options)

  monkeypatch.setattr(builtins, "__import__", no_soxr)
  with pytest.raises(UserError, match="needs soundfile and soxr; pip install 'pretrainjax"):
    read(tmp_path / "a.wav")
