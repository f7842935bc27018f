"""Corrupt, cut, flipped and bomb-sized images, in a folder and in a prepared dataset.

They are counted and left out as long as they are few; beyond the cap the command ends in one line.
No picture that was changed on the way is ever taken for the real one.
"""

import io
import json
import random
import shutil
import struct
import time
import zlib

import binaries
import damage
import numpy as np
import PIL.Image
import pytest
import tiny_datasets

from pretrainjax.data.image import Resize
from pretrainjax.data.image_data import ImageData
from pretrainjax.errors import UserError


def encoded(seed: int, kind: str = "JPEG", **options) -> bytes:
  """A picture of noise as a file."""
  noise = np.random.default_rng(seed).integers(0, 255, (24, 24, 3)).astype(np.uint8)
  out = io.BytesIO()
  PIL.Image.fromarray(noise).save(out, kind, **options)
  return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
  return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *, data: bytes = b"", more: bytes = b"") -> bytes:
  """A PNG that claims a size."""
  header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
  return b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def scans(count: int) -> bytes:
  """A progressive JPEG whose last scan comes again and again."""
  whole = encoded(0, progressive=True)
  last = whole[whole.rindex(b"\xff\xda") : -2]
  return whole[:-2] + last * count + b"\xff\xd9"


BROKEN = {
  "cut.jpg": encoded(1)[:400],
  "cut.png": encoded(2, "PNG")[:600],
  "cut.webp": encoded(3, "WEBP")[:60],
  "cut.gif": encoded(4, "GIF")[:500],
  "empty.png": b"",
  "words.jpg": b"not a picture",
  "flipped.png": encoded(5, "PNG").replace(b"IDAT", b"IDAU"),
  "bomb.png": png(50_000, 50_000, data=zlib.compress(bytes(1000))),
  "claim.png": png(9_000, 9_000, data=zlib.compress(bytes(1000))),
  "chunk.png": png(8, 8, more=b"\x7f\xff\xff\xffPLTE" + bytes(20)),
  "scans.jpg": scans(2000),
  "program.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
  "bomb.gif": b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(40),
}


@pytest.fixture
def folder(tmp_path):
  """Twenty good pictures and all the broken ones."""
  root = tmp_path / "raw"
  for name in ("a", "b"):
    (root / name).mkdir(parents=True)
    for i in range(10):
      (root / name / f"{i}.jpg").write_bytes(encoded(100 * (name == "b") + i))
  for name, data in BROKEN.items():
    (root / "a" / name).write_bytes(data)
  with open(root / "a" / "huge.jpg", "wb") as file:  # takes no room on the disk
    file.truncate(20 << 30)
  return root


def test_in_a_folder(folder, tmp_path, capsys, trial):
  def prepare(*flags):
    place = (f"--source={folder}", "--name=pets", f"--data_dir={tmp_path / 'data'}")
    return binaries.call(capsys, "prepare", "image_folder", *place, *flags)

  start = time.monotonic()
  ended = prepare()
  assert ended.status == 2 and "14 of 34 images cannot be decoded" in ended.errors[-1]
  assert not (tmp_path / "data" / "pets" / "1.0.0").exists()
  trial(seconds=time.monotonic() - start)
  assert prepare("--config.max_dropped=0.5").status == 0
  report = json.loads((tmp_path / "data/pets/1.0.0/prepared.json").read_text())
  assert {key for key, _ in report["dropped_files"]} == {f"a/{x}" for x in (*BROKEN, "huge.jpg")}
  assert report["written"] == {"train": 18, "test": 2}
  for _ in BROKEN:
    trial()


def pictures(data_dir, *, cap: float = 1.0) -> list[int | None]:
  """Which record each of an epoch's pictures is, None where another one stands in for it."""
  data = ImageData(
    datasets="shapes",
    data_dir=str(data_dir),
    batch_size=8,
    transform=Resize(6),
    max_bad_fraction=cap,
  )
  rows = [(x, v) for b in data.one_pass() for x, v in zip(b["image"], b["valid"], strict=True)]
  return [tiny_datasets.index_of(x) if v else None for x, v in rows][: data.num_examples]


def test_flipped_bits_in_a_prepared_set(tmp_path, trial):
  """Records carry hashes: a flip is found, or it hit what holds no record."""
  good = tmp_path / "good"
  tiny_datasets.prepare("shapes", good, count=30)
  expected, chance = pictures(good), random.Random(0)
  found_some = False
  for number in range(12):
    bad = tmp_path / f"bad{number}"
    shutil.copytree(good, bad)
    for _ in range(20):
      damage.flip(next(bad.glob("shapes/*/shapes-train.array_record*")), chance)
    start = time.monotonic()
    try:
      found = pictures(bad)
    except UserError as error:  # none of them can be read
      assert "records cannot be unpacked" in str(error)
      found = [None] * len(expected)
    assert all(seen in (None, true) for seen, true in zip(found, expected, strict=True))
    found_some |= None in found
    trial(seconds=time.monotonic() - start)
  assert found_some


def test_a_few_are_skipped_and_many_end_it(tmp_path, caplog, trial):
  tiny_datasets.prepare("shapes", tmp_path, count=30, corrupt=(3, 4))
  found = pictures(tmp_path)
  assert found.count(None) == 2 and sum("record skipped" in x for x in caplog.messages) >= 2
  trial()
  shutil.rmtree(tmp_path / "shapes")
  tiny_datasets.prepare("shapes", tmp_path, count=30, corrupt=range(20))
  with pytest.raises(UserError, match="--config.data.max_bad_fraction: .* cannot be unpacked"):
    pictures(tmp_path, cap=0.001)
  trial()
