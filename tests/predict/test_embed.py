import argparse

import numpy as np
import pytest
from fake_texts import TinyText, word_tokenizer
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.command import Request
from pretrainjax.errors import UserError
from pretrainjax.objectives.base import Objective, Towers
from pretrainjax.predict import embed, text_inputs
from pretrainjax.predict.embedding import embed_texts, with_begin_and_end

WORDS = "alpha beta gamma delta epsilon zeta"


@pytest.fixture
def run(tmp_path, monkeypatch):
  """Calls `predict embed` of a tiny run on 22 texts, in parts of 5."""
  monkeypatch.setattr(text_inputs, "_PART", 5)
  rng = np.random.default_rng(0)
  texts = [" ".join(rng.choice(WORDS.split(), n)) for n in rng.integers(0, 15, 22)]
  (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n")
  (tmp_path / "tokenizer.json").write_text(word_tokenizer(WORDS).text)
  module = Towers(encoder=TinyText(rngs=nnx.Rngs(0)))
  loaded = Loaded(
    config=ConfigDict(), objective=Objective(), module=module, step=3, workdir=tmp_path
  )

  def call(*flags):
    parser = argparse.ArgumentParser()
    embed.add_flags(parser)
    flags = (f"--input={tmp_path}/texts.txt", "--batch_size=4", *flags)
    request = Request(ConfigDict(), tmp_path, parser.parse_args(flags))
    embed.work(request, loaded)

  call.texts, call.folder, call.encoder = texts, tmp_path, module.encoder
  return call


def expected(run):
  tokenizer = word_tokenizer(WORDS)
  rows = [with_begin_and_end(tokenizer.encode(t), tokenizer, length=16) for t in run.texts]
  return embed_texts(run.encoder, rows, batch_size=4)


def test_features_are_in_order(run, capsys):
  run(f"--out={run.folder}/x.npy")
  np.testing.assert_allclose(np.load(run.folder / "x.npy"), expected(run), atol=1e-6)
  assert "features of 22 texts: " in capsys.readouterr().out
  assert not (run.folder / "x.npy.parts").exists()


def test_long_texts_are_cut_and_counted(run, capsys):
  (run.folder / "texts.txt").write_text("alpha " * 14 + "\n" + "alpha " * 40)
  run(f"--out={run.folder}/x.npy")
  found = np.load(run.folder / "x.npy")
  np.testing.assert_allclose(found[0], found[1], atol=1e-6)
  assert "2 texts (1 of them cut to 16 tokens)" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_a_stopped_command_goes_on_and_ends_the_same(run, suffix, monkeypatch):
  pytest.importorskip("pyarrow")
  run(f"--out={run.folder}/whole.{suffix}")
  calls, encode = [], embed.embed_texts

  def stops(*arguments, **kwargs):
    calls.append(1)
    if len(calls) == 3:
      raise KeyboardInterrupt
    return encode(*arguments, **kwargs)

  monkeypatch.setattr(embed, "embed_texts", stops)
  with pytest.raises(KeyboardInterrupt):
    run(f"--out={run.folder}/x.{suffix}")
  assert not (run.folder / f"x.{suffix}").exists()
  run(f"--out={run.folder}/x.{suffix}")
  assert len(calls) == 3 + 3  # two of the five parts were there
  whole, again = (run.folder / f"{name}.{suffix}" for name in ("whole", "x"))
  assert whole.read_bytes() == again.read_bytes()


def test_parquet_holds_the_texts_too(run):
  parquet = pytest.importorskip("pyarrow.parquet")
  run(f"--out={run.folder}/x.parquet")
  table = parquet.read_table(run.folder / "x.parquet")
  assert table.column("text").to_pylist() == run.texts
  found = np.array(table.column("embedding").to_pylist(), np.float32)
  np.testing.assert_allclose(found, expected(run), atol=1e-6)


def test_parts_of_another_command_are_refused(run, monkeypatch):
  monkeypatch.setattr(embed, "_write_part", lambda *_: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    run(f"--out={run.folder}/x.npy")
  with pytest.raises(UserError, match=r"parts of another command \(pool differ\)"):
    run(f"--out={run.folder}/x.npy", "--pool=cls")


def test_pooling_can_be_chosen(run):
  run(f"--out={run.folder}/x.npy", "--pool=cls")
  assert not np.allclose(np.load(run.folder / "x.npy"), expected(run), atol=1e-3)
  assert run.encoder.pool == "mean"


def test_mistakes_are_told_in_one_line(run):
  for flags, message in (
    ((), "--out: found nothing"),
    (("--out=x.csv",), "--out: found 'x.csv', expected one of .npy, .parquet"),
    ((f"--out={run.folder}/x.npy", "--pool=clss"), "--pool: found 'clss'; did you mean 'cls'"),
    ((f"--out={run.folder}/x.npy", "--batch_size=0"), "--batch_size: found 0"),
  ):
    with pytest.raises(UserError, match=message):
      run(*flags)
  (run.folder / "x.npy").write_text("")
  with pytest.raises(UserError, match="is there already"):
    run(f"--out={run.folder}/x.npy")
  (run.folder / "texts.txt").write_text("")
  with pytest.raises(UserError, match="holds no text"):
    run(f"--out={run.folder}/y.npy")


def test_diverged_parameters_are_told(run):
  run.encoder.mix.bias[...] = run.encoder.mix.bias[...].at[0].set(np.nan)
  with pytest.raises(UserError, match="features of 5 of 5 texts are not finite"):
    run(f"--out={run.folder}/x.npy")
