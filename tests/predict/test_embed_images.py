"""Features of images by `predict embed`: those of evaluations, whatever form the images have."""

import argparse
import json

import cv2
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
from flax import nnx
from ml_collections import ConfigDict
from pictures import encoded, smooth

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.command import Request
from pretrainjax.config import spec
from pretrainjax.data.image import RandomResizedCrop, Resize
from pretrainjax.data.image_data import ImageData
from pretrainjax.errors import UserError
from pretrainjax.evaluators.features import extract_features
from pretrainjax.evaluators.knn import KNN
from pretrainjax.models.image_encoder import ImageEncoder
from pretrainjax.objectives.base import Objective, Towers
from pretrainjax.predict import embed, embed_images
from pretrainjax.prepare.__main__ import main as prepare
from pretrainjax.types import Encoded

SIZE = 6


class TinyImages(ImageEncoder):
  """A linear map of pixels."""

  def __init__(self, *, rngs: nnx.Rngs):
    self.embed_dim, self.num_channels = 5, 3
    self.image_mean, self.image_std = (0.5,), (0.5,)
    self.linear = nnx.Linear(SIZE * SIZE * 3, 5, rngs=rngs)

  def __call__(self, inputs, *, keep=None, deterministic=True, rngs=None) -> Encoded:
    x = self.linear(self.normalize(inputs).reshape(len(inputs), -1))
    return Encoded(x[:, None], x, jnp.ones((len(x), 1), bool))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
  """Two classes of pictures, upright or not, and the prepared set of them."""
  root = tmp_path_factory.mktemp("photos")
  for number, name in enumerate(("cat/a.png", "cat/b.jpg", "dog/c.png", "dog/none")):
    (root / "in" / name).parent.mkdir(parents=True, exist_ok=True)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    pixels = np.roll(smooth(12, 18), 3 * number, axis=1)
    data = encoded(pixels, "JPEG" if number % 2 else "PNG", exif=exif)
    (root / "in" / name).write_bytes(data)
  flags = ("--config.source.test_fraction=0", f"--data_dir={root / 'data'}")
  assert prepare(["image_folder", f"--source={root / 'in'}", "--name=pets", *flags]) == 0
  return root


@pytest.fixture
def run(photos, tmp_path):
  """Calls `predict embed` of a tiny run on images."""
  shown = spec(ImageData, datasets="pets", batch_size=3, transform=spec(Resize, size=SIZE))
  drawn = spec(ImageData, datasets="pets", batch_size=3, transform=spec(RandomResizedCrop, size=4))
  config = ConfigDict({"data": drawn, "evals": {"knn": spec(KNN, train=shown, test=shown)}})
  module = Towers(encoder=TinyImages(rngs=nnx.Rngs(0)))
  loaded = Loaded(config=config, objective=Objective(), module=module, step=3)

  def call(*flags):
    parser = argparse.ArgumentParser()
    embed.add_flags(parser)
    parser.add_argument("--data_dir")  # as all binaries have it
    options = parser.parse_args((f"--data_dir={photos / 'data'}", "--batch_size=3", *flags))
    embed.work(Request(ConfigDict(), tmp_path, options), loaded)

  data = ImageData(
    datasets="pets", data_dir=str(photos / "data"), batch_size=3, transform=Resize(SIZE)
  )
  call.wanted = extract_features(module.encoder, data).features
  call.encoder, call.folder, call.photos = module.encoder, tmp_path, photos / "in"
  return call


def test_a_prepared_set_gives_what_evaluations_take(run, capsys):
  run("--input", "pets", "--split=train", f"--out={run.folder}/x.npz")
  found = np.load(run.folder / "x.npz")
  np.testing.assert_array_equal(found["features"], run.wanted)
  assert sorted(found["names"]) == ["cat/a.png", "cat/b.jpg", "dog/c.png", "dog/none"]
  assert "features of 4 images, Resize(size=6, short_side=None): " in capsys.readouterr().out
  run(
    "--input", f"{run.photos.parent}/data/pets/1.0.0", "--split=train", f"--out={run.folder}/y.npy"
  )
  np.testing.assert_array_equal(np.load(run.folder / "y.npy"), run.wanted)


@pytest.mark.parametrize("suffix", ["npz", "jsonl", "parquet", "npy"])
def test_a_folder_gives_the_same_numbers_in_the_order_of_its_files(run, suffix):
  run("--input", "pets", "--split=train", f"--out={run.folder}/set.npz")
  prepared = np.load(run.folder / "set.npz")
  order = np.argsort(prepared["names"])
  out = run.folder / f"x.{suffix}"
  if suffix == "parquet":
    pytest.importorskip("pyarrow")
  run("--input", str(run.photos), f"--out={out}")
  if suffix == "npz":
    names, features = np.load(out)["names"].tolist(), np.load(out)["features"]
  elif suffix == "jsonl":
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    names, features = [r["file"] for r in rows], [r["embedding"] for r in rows]
  elif suffix == "parquet":
    table = pytest.importorskip("pyarrow.parquet").read_table(out)
    names, features = table["file"].to_pylist(), table["embedding"].to_pylist()
  else:
    names, features = prepared["names"][order].tolist(), np.load(out)
  assert names == prepared["names"][order].tolist()
  np.testing.assert_allclose(features, prepared["features"][order], atol=1e-6)
  assert [p.name for p in run.folder.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("suffix", ["npz", "jsonl"])
@pytest.mark.parametrize("kind", ["files", "set"])
def test_a_stopped_command_goes_on_and_ends_the_same(run, kind, suffix, monkeypatch):
  monkeypatch.setattr(embed_images, "_PART", 1)  # batches of three, so that two parts make four
  given = ("--input", str(run.photos)) if kind == "files" else ("--input=pets", "--split=train")
  run(*given, f"--out={run.folder}/whole.{suffix}")
  encode, calls = embed_images.extract_features, []

  def stops(*arguments, **options):
    calls.append(1)
    if len(calls) == 2:
      raise KeyboardInterrupt
    return encode(*arguments, **options)

  monkeypatch.setattr(embed_images, "extract_features", stops)
  out = run.folder / f"x.{suffix}"
  with pytest.raises(KeyboardInterrupt):
    run(*given, f"--out={out}")
  assert not out.exists()
  with pytest.raises(UserError, match=r"parts of another command \(transform differ\)"):
    run(*given, f"--out={out}", "--short_side=9")
  run(*given, f"--out={out}")
  assert len(calls) == 2 + 1, "one of the two parts was there"
  assert out.read_bytes() == (run.folder / f"whole.{suffix}").read_bytes()
  assert not (run.folder / f"x.{suffix}.parts").exists()


def test_a_part_of_which_nothing_can_be_read_is_told_and_one_that_is_damaged_too(run, monkeypatch):
  monkeypatch.setattr(embed_images, "_PART", 1)
  bad = [str(run.folder / f"{number}.jpg") for number in range(3)]
  for path in bad:
    with open(path, "wb") as file:
      file.write(b"\xff\xd8\xffnonsense")
  run("--input", *bad, str(run.photos / "dog/c.png"), f"--out={run.folder}/x.npz")
  assert np.load(run.folder / "x.npz")["names"].tolist() == [str(run.photos / "dog/c.png")]
  with pytest.raises(UserError, match="none of 3 images can be read"):
    run("--input", *bad, f"--out={run.folder}/y.npz")
  (run.folder / "y.npz.parts/000000.npz").write_bytes(b"PK")
  with pytest.raises(UserError, match="part '.*000000.npz' is damaged .*; remove it"):
    run("--input", *bad, f"--out={run.folder}/y.npz")


def test_files_are_taken_as_named_and_what_cannot_be_read_is_told(run, capsys):
  (run.folder / "broken.jpg").write_bytes(b"\xff\xd8\xffnonsense")
  files = [
    str(run.photos / "dog/c.png"),
    str(run.folder / "broken.jpg"),
    str(run.photos / "cat/a.png"),
  ]
  run("--input", *files, f"--out={run.folder}/x.npz")
  found = np.load(run.folder / "x.npz")
  assert found["names"].tolist() == [files[0], files[2]] and found["features"].shape == (2, 5)
  assert f"left out 1 that cannot be read: {files[1]} (" in capsys.readouterr().out


def test_grey_and_transparent_files_become_what_the_run_reads(run):
  cv2.imwrite(str(run.folder / "grey.png"), smooth(SIZE, SIZE, 1))
  clear = np.dstack([smooth(SIZE, SIZE), np.zeros((SIZE, SIZE, 1), np.uint8)])
  PIL.Image.fromarray(clear).save(run.folder / "clear.png")
  files = [str(run.folder / f"{name}.png") for name in ("grey", "clear")]
  run("--input", *files, f"--out={run.folder}/x.npy")
  grey = np.repeat(smooth(SIZE, SIZE, 1), 3, axis=2)
  wanted = run.encoder(np.stack([grey, np.full_like(grey, 255)])).pooled
  np.testing.assert_allclose(np.load(run.folder / "x.npy"), wanted, atol=1e-5)


def test_mistakes_are_told_in_one_line(run):
  out = f"--out={run.folder}/x.npz"
  (run.folder / "empty").mkdir()
  for flags, message in (
    ((out,), "--input: found nothing"),
    (("--input", "nowhere.jpg", out), "--input: no file, folder or dataset 'nowhere.jpg'"),
    (("--input", f"{run.folder}/empty", out), "holds no image"),
    (("--input", str(run.photos)), "--out: found nothing"),
    (("--input", str(run.photos), "--out=x.csv"), "expected one of .npy, .npz, .parquet, .jsonl"),
    (("--input", "pets", "--split=tset", out), "'tset' is no split of pets"),
    (("--input", str(run.photos), "--pool=cls", out), "--pool: found 'cls'"),
    (("--input", str(run.photos), "--size=0", out), "--size=0: expected at least 1"),
    (("--input", str(run.photos), "--batch_size=0", out), "--batch_size: found 0"),
  ):
    with pytest.raises(UserError, match=message):
      run(*flags)
  assert not (run.folder / "x.npz").exists()


def test_without_evaluations_images_have_the_encoders_size():
  def transform(size):
    config = ConfigDict({"objective": {"backbone": {"image_size": size}}})
    options = argparse.Namespace(size=None, short_side=None)
    return embed_images._transform(config, options)

  assert transform(7) == transform((7, 7)) == Resize(7)
  for size in ((7, 8), None):
    with pytest.raises(UserError, match="--size: found nothing"):
      transform(size)


def test_diverged_parameters_are_told(run):
  run.encoder.linear.bias[...] = run.encoder.linear.bias[...].at[0].set(np.nan)
  with pytest.raises(UserError, match="features of 4 of 4 examples are not finite"):
    run("--input", str(run.photos), f"--out={run.folder}/x.npy")
