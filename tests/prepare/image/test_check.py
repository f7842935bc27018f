"""Files are looked at several at a time, and come in their order."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from pretrainjax.prepare.contract import Unreadable
from pretrainjax.prepare.image import check
from pretrainjax.prepare.image.check import ImageFile, Look, examined
from pretrainjax.prepare.image.example import Image


@pytest.fixture
def pool():
  with ThreadPoolExecutor(2) as made:
    yield made


def files(folder, count: int):
  for i in range(count):
    path = folder / f"{i}.png"
    cv2.imwrite(str(path), np.full((3 + i % 2, 5, 1), i, np.uint8))
    yield ImageFile(path, path.stat().st_size, path.name, None, "train")


def test_the_order_is_that_of_the_files_whatever_the_batches(tmp_path, pool, monkeypatch):
  monkeypatch.setattr(check, "_FILES", 3)
  gone = Unreadable("x.pdf", "no image by its name", fault=False)
  items = [*files(tmp_path, 10), gone, *files(tmp_path, 2)]
  found = list(examined(items, look=Look(), pool=pool))
  assert [item.key for item in found] == [item.key for item in items] and found[10] == gone
  assert all(isinstance(i, Image) and i.shape == (None, None, 1) for i in found if i != gone)


def test_no_more_is_read_than_a_few_batches_ahead(tmp_path, pool, monkeypatch):
  monkeypatch.setattr(check, "_FILES", 1)
  monkeypatch.setattr("os.cpu_count", lambda: 2)
  asked = 0

  def counted():
    nonlocal asked
    for file in itertools.cycle(files(tmp_path, 3)):
      asked += 1
      yield file

  found = examined(counted(), look=Look(), pool=pool)
  for _ in range(20):
    next(found)
  assert asked <= 20 + 5


def test_what_is_wrong_is_said(tmp_path, pool, monkeypatch):
  monkeypatch.setattr("pretrainjax.data.decode.MAX_PIXELS", 100)
  good, thin, large, cut, huge, missing = files(tmp_path, 6)
  cv2.imwrite(str(large.path), np.zeros((40, 40, 3), np.uint8))
  cut.path.write_bytes(cut.path.read_bytes()[:40])
  missing.path.unlink()
  items = [good, thin, large, cut, huge._replace(size=1 << 40), missing]
  found = list(examined(items, look=Look(min_pixels=4), pool=pool))
  assert found[0] == Unreadable("0.png", "too small", fault=False)
  assert isinstance(found[1], Image)
  assert found[2:] == [
    Unreadable("2.png", "too large"),
    Unreadable("3.png", "not decodable"),
    Unreadable("4.png", "too large"),
    Unreadable("5.png", "not decodable"),
  ]
