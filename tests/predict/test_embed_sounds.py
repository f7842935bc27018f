"""Features of sounds by `predict embed`: whole, in windows, from files and folders."""

import argparse

import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict
from tiny_sound_encoder import FRAME, TinySoundEncoder
from tiny_sounds import tone, write_wav

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.command import Request
from pretrainjax.data.sound import to_int16
from pretrainjax.errors import UserError
from pretrainjax.objectives.base import Objective, Towers
from pretrainjax.predict import embed, embed_sounds
from pretrainjax.predict.embed_sounds import equal_windows
from pretrainjax.types import Sound

FRAMES = {"a/low.wav": 6, "a/high.wav": 14, "long.wav": 40}


@pytest.fixture
def run(tmp_path):
  """Calls `predict embed` of a tiny run on sounds of 1 second and more at most."""
  module = Towers(encoder=TinySoundEncoder(rngs=nnx.Rngs(0)))
  config = ConfigDict({"data": {"max_seconds": 1.0}})
  loaded = Loaded(config=config, objective=Objective(), module=module, step=3)
  sounds = {}
  for number, (name, frames) in enumerate(FRAMES.items()):
    sound = tone(number, frames * FRAME / 16_000) * np.linspace(0.2, 1, frames * FRAME)
    write_wav(tmp_path / "in" / name, sound)
    sounds[name] = to_int16(sound.astype(np.float32))

  def call(*flags):
    parser = argparse.ArgumentParser()
    embed.add_flags(parser)
    options = parser.parse_args(("--batch_size=2", *flags))
    embed.work(Request(ConfigDict(), tmp_path, options), loaded)

  def whole(name):
    audio = sounds[name]
    return np.asarray(module.encoder(Sound(audio[None], np.array([len(audio)]))).pooled)[0]

  call.folder, call.sounds, call.whole = tmp_path, tmp_path / "in", whole
  return call


def test_a_folder_is_encoded_in_the_order_of_its_files(run, capsys):
  run("--input", str(run.sounds), f"--out={run.folder}/x.npz")
  found = np.load(run.folder / "x.npz")
  names = found["names"].tolist()
  assert names == sorted(FRAMES) and found["features"].dtype == np.float32
  for name, feature in zip(names, found["features"], strict=True):
    # The long one in two windows of whole frames, whose mean is that of the whole.
    np.testing.assert_allclose(feature, run.whole(name), atol=1e-3)
  assert "features of 3 sounds, in windows of 1 s: " in capsys.readouterr().out


def test_windows_count_as_much_as_they_are_long():
  for count, seconds in ((16_000, 1.0), (16_001, 1.0), (100_003, 2.5), (1, 1.0)):
    windows = equal_windows(count, seconds=seconds)
    lengths = [window.stop - window.start for window in windows]
    assert sum(lengths) == count and max(lengths) - min(lengths) <= 1
    assert max(lengths) <= seconds * 16_000 and len(lengths) == -(-count // (seconds * 16_000))


def test_what_cannot_be_read_is_told_and_left_out(run, capsys):
  (run.folder / "broken.wav").write_bytes(b"RIFFnonsense")
  write_wav(run.folder / "short.wav", tone(0, 0.02))
  files = [str(run.folder / name) for name in ("broken.wav", "short.wav", "in/a/low.wav")]
  run("--input", *files, f"--out={run.folder}/x.npz")
  found = np.load(run.folder / "x.npz")
  assert found["names"].tolist() == ["low.wav"]
  np.testing.assert_allclose(found["features"][0], run.whole("a/low.wav"), atol=1e-3)
  said = capsys.readouterr().out
  assert "left out 2 that cannot be read: broken.wav (" in said
  assert "short.wav (is shorter than 50 ms)" in said


def test_a_stopped_command_goes_on_and_ends_the_same(run, monkeypatch):
  monkeypatch.setattr(embed_sounds, "_PART", 1)
  run("--input", str(run.sounds), f"--out={run.folder}/whole.jsonl")
  read, calls = embed_sounds.read, []

  def stops(path):
    calls.append(path.name)
    if len(calls) == 3:
      raise KeyboardInterrupt
    return read(path)

  monkeypatch.setattr(embed_sounds, "read", stops)
  out = run.folder / "x.jsonl"
  with pytest.raises(KeyboardInterrupt):
    run("--input", str(run.sounds), f"--out={out}")
  with pytest.raises(UserError, match=r"parts of another command \(window differ\)"):
    run("--input", str(run.sounds), f"--out={out}", "--window=0.5")
  run("--input", str(run.sounds), f"--out={out}")
  assert calls[3:] == ["long.wav"]
  assert out.read_bytes() == (run.folder / "whole.jsonl").read_bytes()


def test_mistakes_are_told_in_one_line(run):
  out, given = f"--out={run.folder}/x.npz", ("--input", str(run.sounds))
  for flags, message in (
    ((out,), "--input: found nothing, expected sounds"),
    (("--input", "nowhere.wav", out), "--input: no file or folder 'nowhere.wav'"),
    (given, "--out: found nothing"),
    ((*given, "--window=0.01", out), "--window: found 0.01, expected 0.1 to 3600 seconds"),
    ((*given, "--pool=cls", out), "--pool: found 'cls', which is for encoders of texts"),
    ((*given, "--batch_size=0", out), "--batch_size: found 0, expected at least 1"),
  ):
    with pytest.raises(UserError, match=message):
      run(*flags)
