"""What the first bytes of sound files say; whole files are in test_sound.py."""

from pretrainjax.data.sound_header import READABLE, format_of


def test_formats_by_their_first_bytes():
  assert format_of(b"RIFF\x24\0\0\0WAVEfmt ") == "WAV"
  assert format_of(b"RIFF\x24\0\0\0WEBPVP8 ") is None
  assert format_of(b"ID3\x04\0") == format_of(b"\xff\xfb\x90\x64") == "MP3"
  assert format_of(b"\xff\xfb\xf0\x64") is None  # no such bit rate
  assert format_of(b"\xff\xd8\xff\xe0") is None  # a JPEG
  assert {format_of(b"fLaC"), format_of(b"OggS"), format_of(b".snd")} <= READABLE
  assert format_of(b"#!AMR\n") not in READABLE
