"""Sound files of every format and depth, decoded, mixed down, resampled."""

import builtins

import numpy as np
import pytest
import soundfile
import soxr
from tiny_sounds import tone, write_wav

from pretrainjax.data.sound import BadSound, read_sound, resampled, sound_of, to_int16
from pretrainjax.data.sound_header import format_of, is_cut
from pretrainjax.errors import UserError

LOSSY = 0.05
# Suffix, format, subtype, and how far off a sample may be where 1 is full scale.
FORMATS = [
  ("wav", "WAV", "PCM_U8", 1 / 120),
  ("wav", "WAV", "PCM_16", 1e-4),
  ("wav", "WAV", "PCM_24", 1e-4),
  ("wav", "WAV", "PCM_32", 1e-4),
  ("wav", "WAV", "FLOAT", 1e-4),
  ("wav", "WAV", "DOUBLE", 1e-4),
  ("wav", "WAV", "ULAW", 0.02),
  ("wav", "RF64", "PCM_16", 1e-4),
  ("wav", "WAVEX", "PCM_24", 1e-4),
  ("flac", "FLAC", "PCM_S8", 1 / 120),
  ("flac", "FLAC", "PCM_16", 1e-4),
  ("flac", "FLAC", "PCM_24", 1e-4),
  ("aiff", "AIFF", "PCM_16", 1e-4),
  ("au", "AU", "PCM_16", 1e-4),
  ("w64", "W64", "PCM_16", 1e-4),
  ("caf", "CAF", "PCM_16", 1e-4),
  ("ogg", "OGG", "VORBIS", LOSSY),
  ("opus", "OGG", "OPUS", LOSSY),
  ("mp3", "MP3", "MPEG_LAYER_III", LOSSY),
]


def stereo(seconds: float = 0.5, rate: int = 16_000) -> np.ndarray:
  """Two tones, whose mean is expected."""
  return np.stack([tone(2, seconds, rate=rate), 0.5 * tone(5, seconds, rate=rate)], axis=1)


@pytest.mark.parametrize(("suffix", "kind", "subtype", "off"), FORMATS)
def test_every_format_and_depth(tmp_path, suffix, kind, subtype, off):
  sound = stereo()
  path = write_wav(tmp_path / f"a.{suffix}", sound, format=kind, subtype=subtype)
  found = read_sound(path, max_seconds=1.0)
  assert found.dtype == np.int16 and found.shape == (8000,)
  inner = slice(400, -400) if off == LOSSY else slice(None)  # Opus fades at its ends
  assert np.abs(found / 32768 - sound.mean(axis=1))[inner].max() < off
  expected = {"opus": "OGG", "aiff": "AIFF"}.get(suffix, suffix.upper())
  assert format_of(path.read_bytes()[:256]) == expected


def test_16_bits_at_16_khz_come_through_bit_by_bit(tmp_path):
  values = np.arange(-32768, 32768, 7).astype(np.int16)
  path = write_wav(tmp_path / "a.wav", values)
  assert np.array_equal(read_sound(path, max_seconds=10.0), values)


def test_louder_than_full_scale_is_clipped():
  loud = np.array([-2, -1, 0, 1, 2], np.float32)
  assert to_int16(loud).tolist() == [-32768, -32768, 0, 32767, 32767]


def test_a_bare_stream_of_gsm(tmp_path):
  """As Asterisk has them."""
  sound = tone(3, 0.5, rate=8000)
  path = tmp_path / "a.gsm"
  soundfile.write(path, sound, 8000, format="RAW", subtype="GSM610")
  found = read_sound(path, max_seconds=1.0) / 32768
  expected = soxr.resample(sound, 8000, 16_000)
  assert abs(len(found) - len(expected)) < 320  # whole frames
  assert np.corrcoef(found[: len(expected)], expected[: len(found)])[0, 1] > 0.95


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_block_by_block_equals_the_whole(rate):
  sound = np.random.default_rng(rate).normal(size=rate // 3 + 17).astype(np.float32)
  blocks = [sound[:5], sound[5:1000], sound[1000:1000], sound[1000:]]
  found = np.concatenate(list(resampled(blocks, source=rate, target=16_000)))
  assert np.array_equal(found, soxr.resample(sound, rate, 16_000))


def test_a_long_file_comes_in_blocks(tmp_path):
  """A minute of 44.1 kHz is never in memory as a whole."""
  sound = np.tile(stereo(1, 44_100), (60, 1))
  path = write_wav(tmp_path / "a.flac", sound, rate=44_100)
  with open(path, "rb") as file:
    blocks = list(sound_of(file))
  assert max(map(len, blocks)) < 60_000 and len(blocks) > 15
  whole = soxr.resample(sound.mean(axis=1), 44_100, 16_000)
  assert np.abs(np.concatenate(blocks) - whole).max() < 1e-4


def cut(data: bytes, share: float = 0.6) -> bytes:
  return data[: int(len(data) * share)]


@pytest.mark.parametrize(("suffix", "kind", "subtype", "off"), FORMATS)
def test_what_is_cut_short_is_found(tmp_path, suffix, kind, subtype, off):
  del off
  path = write_wav(tmp_path / f"a.{suffix}", stereo(2), format=kind, subtype=subtype)
  if kind in ("RF64", "AU", "W64", "CAF"):
    pytest.skip("libsndfile takes what is there, and nothing here reads their headers")
  path.write_bytes(cut(path.read_bytes()))
  with pytest.raises(BadSound, match="cut short|not decodable"):
    read_sound(path, max_seconds=10.0)


def test_a_length_that_was_not_known_is_no_damage(tmp_path):
  """As programs write it that cannot go back to the header."""
  path = write_wav(tmp_path / "a.wav", tone(1))
  data = bytearray(path.read_bytes())
  at = data.index(b"data") + 4

  def cut_with(length: bytes) -> bool:
    data[at : at + 4] = length
    path.write_bytes(data)
    with open(path, "rb") as file:
      return is_cut(file)

  unknown = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f")
  assert not any(map(cut_with, unknown))
  assert cut_with((10**6).to_bytes(4, "little"))


def test_what_is_no_sound_or_damaged(tmp_path):
  def why(data: bytes, name: str = "a.wav") -> str:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadSound) as caught:
      read_sound(tmp_path / name, max_seconds=0.3)
    return str(caught.value)

  assert why(b"") == why(b"no sound at all, but words") == "not decodable"
  nothing = write_wav(tmp_path / "b.wav", tone(0, 0)).read_bytes()
  assert why(nothing) == "empty"
  broken = np.array([0, np.nan, 0.5], np.float32)
  assert why(write_wav(tmp_path / "b.wav", broken, subtype="FLOAT").read_bytes()) == "not finite"
  infinite = np.array([0, np.inf, 0.5], np.float32)
  assert why(write_wav(tmp_path / "b.wav", infinite, subtype="DOUBLE").read_bytes()) == "not finite"
  slow = write_wav(tmp_path / "b.wav", tone(0), rate=10).read_bytes()
  assert why(slow) == "rate of 10 Hz"
  assert why(write_wav(tmp_path / "b.wav", tone(0, 1)).read_bytes()) == "longer than 0.3 s"


def test_names_of_what_is_not_read():
  assert format_of(b"\0\0\0 ftypM4A \0\0") == "M4A"
  assert format_of(b"\x1a\x45\xdf\xa3more") == "WebM"
  assert format_of(b"#!AMR\n") == "AMR"
  assert format_of(b"\xff\xf1\x50\x80") == "AAC"
  assert format_of(b"words") is None


def test_one_line_says_what_to_install(tmp_path, monkeypatch):
  path = write_wav(tmp_path / "a.wav", tone(0))
  real = builtins.__import__

  def without(name, *args, **options):
    if name == "soxr":
      raise ImportError(name)
    return real(name, *args, **options)

  monkeypatch.setattr(builtins, "__import__", without)
  with pytest.raises(UserError, match=r"pip install 'pretrainjax\[audio\]'"):
    read_sound(path, max_seconds=1.0)
