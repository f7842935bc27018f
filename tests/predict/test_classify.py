"""Classes by `predict classify`, of texts, images and sounds."""

import argparse
import csv
import dataclasses
import functools
import json

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from fake_texts import TinyText, word_tokenizer
from flax import nnx
from ml_collections import ConfigDict
from pictures import smooth
from tiny_sound_encoder import TinySoundEncoder
from tiny_sounds import tone, write_wav

from pretrainjax.checkpoint.class_names import keep_class_names
from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.command import Request
from pretrainjax.errors import UserError
from pretrainjax.models.heads import Head
from pretrainjax.models.mlp import MLP
from pretrainjax.objectives.base import Objective
from pretrainjax.objectives.supervised.classification import Classification
from pretrainjax.predict import classify, text_inputs
from pretrainjax.predict.classify import ranked
from pretrainjax.predict.embedding import embed_texts, with_begin_and_end

WORDS = "alpha beta gamma delta epsilon zeta"
TEXTS = ["alpha", "beta, gamma", "", "delta epsilon zeta", "zeta alpha", "gamma", "beta"]
NAMES = ("cat", "dog", "bird")


def loaded_of(backbone, folder, **config) -> Loaded:
  """A classifier of three classes whose scores differ."""
  width = backbone(rngs=nnx.Rngs(0)).embed_dim
  head = functools.partial(Head, in_dim=width, num_classes=3, init_std=3.0)
  objective = Classification(backbone=backbone, head=head, num_classes=3)
  module = objective.init(rngs=nnx.Rngs(0))
  return Loaded(ConfigDict(config), objective, module, 3, workdir=folder)


def call(loaded, folder, *flags):
  parser = argparse.ArgumentParser()
  classify.add_flags(parser)
  parser.add_argument("--data_dir")  # as all binaries have it
  options = parser.parse_args((f"--data_dir={folder}", "--batch_size=2", *flags))
  classify.work(Request(ConfigDict(), folder, options), loaded)


@pytest.fixture
def texts(tmp_path):
  """A classifier of texts, with the file of texts in its folder."""
  (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n")
  (tmp_path / "tokenizer.json").write_text(word_tokenizer(WORDS).text)
  keep_class_names(tmp_path, NAMES)
  return loaded_of(TinyText, tmp_path)


def shares(loaded) -> np.ndarray:
  """The probabilities of all texts' classes."""
  tokenizer = word_tokenizer(WORDS)
  rows = [with_begin_and_end(tokenizer.encode(t), tokenizer, length=16) for t in TEXTS]
  logits = loaded.module.head(jnp.asarray(embed_texts(loaded.encoder, rows, batch_size=2)))
  return np.asarray(nnx.softmax(logits))


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_texts_have_their_likeliest_classes_by_name(texts, suffix, capsys):
  if suffix == "parquet":
    pytest.importorskip("pyarrow")
  folder = texts.workdir
  out = folder / f"x.{suffix}"
  call(texts, folder, f"--input={folder}/texts.txt", f"--out={out}", "--top=2")
  if suffix == "jsonl":
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    found = [(r["text"], [(c["class"], c["probability"]) for c in r["classes"]]) for r in rows]
  elif suffix == "csv":
    with out.open(newline="") as file:
      header, *rows = csv.reader(file)
    assert header == ["text", "class_1", "probability_1", "class_2", "probability_2"]
    found = [(r[0], [(r[1], float(r[2])), (r[3], float(r[4]))]) for r in rows]
  else:
    table = pytest.importorskip("pyarrow.parquet").read_table(out).to_pylist()
    pairs = [list(zip(r["classes"], r["probabilities"], strict=True)) for r in table]
    found = [(r["text"], pair) for r, pair in zip(table, pairs, strict=True)]
  assert [text for text, _ in found] == TEXTS
  for (_, pairs), wanted in zip(found, shares(texts), strict=True):
    best = np.argsort(-wanted)[:2]
    assert [name for name, _ in pairs] == [NAMES[i] for i in best]
    np.testing.assert_allclose([share for _, share in pairs], wanted[best], atol=1e-5)
  assert f"classes of 7 texts: {out}" in capsys.readouterr().out
  assert not (folder / f"x.{suffix}.parts").exists()


def test_without_a_file_they_are_shown(texts, capsys):
  folder = texts.workdir
  before = sorted(folder.iterdir())
  call(texts, folder, f"--input={folder}/texts.txt")
  lines = capsys.readouterr().out.splitlines()
  wanted = shares(texts)[1]
  text, _, said = lines[1].partition("\t")
  name, share = said.split(", ")[0].split(" ")
  assert len(lines) == 7 and text == "beta, gamma" and name == NAMES[wanted.argmax()]
  assert float(share) == pytest.approx(wanted.max(), abs=1e-4)
  assert len(lines[1].split("\t")[1].split(", ")) == 3
  assert sorted(folder.iterdir()) == before


def test_a_stopped_command_goes_on_and_ends_the_same(texts, monkeypatch):
  monkeypatch.setattr(text_inputs, "_PART", 2)
  folder = texts.workdir
  given = f"--input={folder}/texts.txt"
  call(texts, folder, given, f"--out={folder}/whole.csv")
  encode, calls = text_inputs.embed_texts, []

  def stops(*arguments, **options):
    calls.append(1)
    if len(calls) == 3:
      raise KeyboardInterrupt
    return encode(*arguments, **options)

  monkeypatch.setattr(text_inputs, "embed_texts", stops)
  out = folder / "x.csv"
  with pytest.raises(KeyboardInterrupt):
    call(texts, folder, given, f"--out={out}")
  assert not out.exists()
  with pytest.raises(UserError, match=r"parts of another command \(top differ\)"):
    call(texts, folder, given, f"--out={out}", "--top=1")
  call(texts, folder, given, f"--out={out}")
  assert len(calls) == 3 + 2, "two of the four parts were there"
  assert out.read_bytes() == (folder / "whole.csv").read_bytes()


def test_images_and_sounds_are_called_by_their_files_and_classes_by_numbers(tmp_path, capsys):
  backbone = functools.partial(MLP, image_size=4, num_channels=3, embed_dim=6)
  images = loaded_of(backbone, tmp_path, data={"transform": {"size": 4}})
  sounds = loaded_of(TinySoundEncoder, tmp_path, data={"max_seconds": 1.0})
  (tmp_path / "in").mkdir()
  cv2.imwrite(str(tmp_path / "in/b.png"), smooth(4, 4))
  (tmp_path / "in/a.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
  write_wav(tmp_path / "in/c.wav", tone(0))
  for kind, loaded, files in (
    ("images", images, ("a.png", "b.png")),
    ("sounds", sounds, ("c.wav",)),
  ):
    out = tmp_path / f"{kind}.jsonl"
    call(loaded, tmp_path, "--input", *(f"{tmp_path}/in/{f}" for f in files), f"--out={out}")
    (row,) = [json.loads(line) for line in out.read_text().splitlines()]
    assert row["file"].endswith(files[-1])
    assert {one["class"] for one in row["classes"]} == {"0", "1", "2"}
    likely = [one["probability"] for one in row["classes"]]
    assert likely == sorted(likely, reverse=True) and sum(likely) == pytest.approx(1.0)
    assert f"classes of 1 {kind}: {out}" in capsys.readouterr().out


def test_a_model_of_others_names_its_classes_and_may_score_each_alone(tmp_path):
  backbone = functools.partial(MLP, image_size=4, num_channels=3, embed_dim=6)
  loaded = loaded_of(backbone, tmp_path, data={"transform": {"size": 4}})
  loaded = dataclasses.replace(loaded, source="hf")
  cv2.imwrite(str(tmp_path / "a.png"), smooth(4, 4))

  def found(name, **fields):
    labels = {str(number): label for number, label in enumerate(NAMES)}
    (tmp_path / "config.json").write_text(json.dumps({"id2label": labels} | fields))
    call(loaded, tmp_path, f"--input={tmp_path}/a.png", f"--out={tmp_path}/{name}.jsonl")
    (row,) = (tmp_path / f"{name}.jsonl").read_text().splitlines()
    return {one["class"]: one["probability"] for one in json.loads(row)["classes"]}

  one_is, alone = found("one"), found("alone", problem_type="multi_label_classification")
  assert [*one_is] == [*alone] and {*alone} == {*NAMES}
  shares = np.array([*alone.values()])
  odds = shares / (1 - shares)  # the exponentials of the logits
  assert sum(one_is.values()) == pytest.approx(1.0) != sum(shares)
  np.testing.assert_allclose([*one_is.values()], odds / odds.sum(), rtol=1e-3, atol=1e-6)


def test_ranks_are_those_of_softmax_or_of_each_class_alone():
  logits = np.array([[1.0, 3.0, 2.0], [900.0, -900.0, 900.0]], np.float32)
  found = ranked(logits, top=2)
  assert found["classes"].tolist() == [[1, 2], [0, 2]]
  weights = np.exp([3.0, 2.0]) / np.exp([1.0, 3.0, 2.0]).sum()
  np.testing.assert_allclose(found["probabilities"], [weights, [0.5, 0.5]], rtol=1e-6)
  alone = ranked(logits, top=3, alone=True)
  assert alone["classes"].tolist() == [[1, 2, 0], [0, 2, 1]]
  sigmoids = 1 / (1 + np.exp([-3.0, -2.0, -1.0]))
  np.testing.assert_allclose(alone["probabilities"], [sigmoids, [1.0, 1.0, 0.0]], rtol=1e-6)


def test_mistakes_are_told_in_one_line(texts):
  folder = texts.workdir
  given = f"--input={folder}/texts.txt"
  for flags, message in (
    ((), "--input: found nothing"),
    ((given, "--top=0"), "--top: found 0, expected at least 1"),
    ((given, f"--out={folder}/x.npz"), "expected one of .jsonl, .csv, .parquet"),
    ((f"--input={folder}/text.txt",), "no file '.*text.txt'; did you mean 'texts.txt'"),
  ):
    with pytest.raises(UserError, match=message):
      call(texts, folder, *flags)
  other = Loaded(ConfigDict(), Objective(), texts.module, 3, workdir=folder)
  with pytest.raises(UserError, match="is a run of Objective, expected a classifier"):
    call(other, folder, given)
