"""Images: cropped anew by position, in views, and in as many channels as the dataset has."""

import numpy as np
import pytest
import tiny_datasets
from streams import take

from pretrainjax.data.image import PadCrop, RandomResizedCrop, Resize
from pretrainjax.data.image_data import ImageData
from pretrainjax.prepare.image.example import Image, png

COUNT = 22  # records of "shapes"
CROP = RandomResizedCrop(5, scale=(0.3, 1.0))


@pytest.fixture
def make(data_dir):
  """Returns `make(**changes)`, an ImageData of "shapes"."""

  def make(**changes) -> ImageData:
    options = {"datasets": "shapes", "batch_size": 4, "transform": Resize(6)}
    return ImageData(**(options | {"data_dir": str(data_dir)} | changes))

  return make


def test_the_shape_is_that_of_the_dataset(make):
  assert make().image_shape == (6, 6, 1)


def test_a_record_is_cropped_anew_each_epoch(make):
  crops = set()
  for batch in take(make(transform=PadCrop(6, padding=2)), 44):
    for image in batch["image"]:
      crops.add(image.tobytes())
  assert len(crops) > 3 * COUNT  # 8 epochs


def test_views_are_of_one_image_and_differ(make):
  flip = PadCrop(6, padding=0, flip=0.5)
  batches = take(make(transform=flip, views=3), 30)
  assert batches[0]["image"].shape == (4, 3, 6, 6, 1)
  pairs = [views for batch in batches for views in batch["image"]]
  # Each view is the picture or its mirror, and both occur among the views of some.
  assert all(np.array_equal(v[0], v[1]) or np.array_equal(v[0], v[1][:, ::-1]) for v in pairs)
  assert any(not np.array_equal(v[0], v[1]) for v in pairs)
  assert any(not np.array_equal(v[1], v[2]) for v in pairs)


def test_more_views_leave_the_first_as_it_is(make):
  one, two = (take(make(transform=CROP, views=n), 5) for n in (1, 2))
  assert all(np.array_equal(a["image"], b["image"][:, 0]) for a, b in zip(one, two, strict=True))


def test_grey_files_among_colours_are_made_colours(make, tmp_path):
  """As in ImageNet: the dataset has three channels, whatever a file has."""
  data_dir = tmp_path / "data"
  pictures = [np.full((8, 8, 1 + 2 * (i % 2)), 10 * i, np.uint8) for i in range(6)]
  images = [
    Image(str(i), png(picture), None, "train", (None, None, picture.shape[2]), None)
    for i, picture in enumerate(pictures)
  ]
  tiny_datasets.write("mixed", data_dir, images)
  data = make(datasets="mixed", data_dir=str(data_dir), transform=Resize(8), batch_size=6)
  (batch,) = data.one_pass()
  assert batch["image"].shape == (6, 8, 8, 3)
  assert sorted(batch["image"][:, 0, 0, 2].tolist()) == [0, 10, 20, 30, 40, 50]
  mixture = make(
    datasets={"mixed": 1.0, "shapes": 1.0}, data_dir=str(data_dir), transform=Resize(8)
  )
  tiny_datasets.prepare("shapes", data_dir, count=3)
  assert take(mixture, 1)[0]["image"].shape == (4, 8, 8, 3)


def test_each_view_counts_as_an_image(make):
  for views in (1, 3):
    data = make(views=views)
    assert data.count(take(data, 1)[0]) == {"images": 4 * views}


def test_at_least_one_view(make):
  with pytest.raises(ValueError, match="views=0: expected at least 1"):
    make(views=0)
