"""Folders of images that people have, as they were reported, and others of the same kinds."""

import io
import json
import struct

import cv2
import numpy as np
import PIL.features
import PIL.Image
import pytest
from image_folders import draw, tree
from pictures import encoded, smooth

from pretrainjax.data.prepared import PreparedSplit

# --- names of splits: split-names-capital, split-names-valid, split-wrapped --------------------


@pytest.mark.parametrize(
  ("train", "held_out", "split"),
  [
    ("Train", "Test", "test"),
    ("train", "valid", "validation"),
    ("pets/train", "pets/test", "test"),
    ("TRAINING_SET", "dev", "validation"),
    ("archive/pets/training", "archive/pets/eval", "test"),
    ("seg_train/seg_train", "seg_test/seg_test", "test"),
  ],
)
def test_splits_are_no_classes_and_are_not_thrown_together(run, tmp_path, train, held_out, split):
  places = tree(f"{train}/cat", f"{train}/dog", f"{held_out}/cat", f"{held_out}/dog")
  found = run(draw(tmp_path / "in", *places))
  assert found.status == 0 and found.report["written"] == {"train": 4, split: 4}
  for name, folder in (("train", train), (split, held_out)):
    assert found.keys(name) == {
      key: ("cat" if "/cat/" in key else "dog") for key in places if key.startswith(folder)
    }


def test_three_splits_of_which_one_is_called_valid(run, tmp_path):
  found = run(draw(tmp_path / "in", *tree("train/cat", "valid/cat", "test/cat")))
  assert found.report["written"] == {"train": 2, "validation": 2, "test": 2}


def test_what_may_be_a_split_or_a_class_is_refused_and_named(run, tmp_path):
  root = draw(tmp_path / "in", *tree("Train/cat", "Test/cat", "extra/cat"))
  found = run(root)
  assert found.status == 2 and "holds splits (Test, Train) beside 'extra'" in found.error
  flag = "--config.source.split_names=extra=validation"
  assert run(root, flag).report["written"] == {"train": 2, "validation": 2, "test": 2}
  left_out = run(root, "--config.source.split_names=extra=none")
  assert left_out.report["written"] == {"train": 2, "test": 2}
  assert "2 left out by split_names: extra/cat/0.png" in left_out.out
  typo = run(root, "--config.source.split_names=extra=more")
  assert typo.status == 2 and "expected FOLDER=one of train, validation" in typo.error


def test_folders_of_other_names_can_be_splits(run, tmp_path):
  root = draw(tmp_path / "in", *tree("fold1/cat", "fold2/cat"))
  found = run(root, "--config.source.split_names=fold1=train,fold2=test")
  assert found.keys("test") == {"fold2/cat/0.png": "cat", "fold2/cat/1.png": "cat"}


def test_folders_inside_of_classes_are_told_and_can_be_the_classes(run, tmp_path):
  root = draw(tmp_path / "in", *tree("cat/tabby", "cat/siamese", "dog"))
  flat = "--config.source.test_fraction=0"
  found = run(root, flat)
  assert set(found.keys("train").values()) == {"cat", "dog"}
  assert "2 folders lie in folders of classes, which are those of level 1" in found.out
  assert "cat/siamese, cat/tabby; --config.source.class_level=N" in found.out
  draw(root, *tree("dog/poodle"))
  for i in range(2):
    (root / f"dog/{i}.png").unlink()
  found = run(root, flat, "--config.source.class_level=2")
  assert set(found.keys("train").values()) == {"tabby", "siamese", "poodle"}
  assert "lie in folders of classes" not in found.out


# --- a hold-out that rounds to nothing ---------------------------------------------------------


def test_a_holdout_that_rounds_to_none_of_any_class_is_one_of_all(run, tmp_path):
  root = draw(tmp_path / "in", *tree(*(f"c{i}" for i in range(10))))
  found = run(root)
  assert found.report["written"] == {"train": 18, "test": 2}
  assert "test_fraction=0.1 of all images, since it rounds to none of any class" in found.out
  assert "no image of 8 classes, such as " in found.out


def test_a_holdout_of_nothing_says_so(run, tmp_path):
  found = run(draw(tmp_path / "in", *tree("cat", "dog", count=1)))
  assert found.report["written"] == {"train": 2}
  assert "held out       nothing: --config.source.test_fraction=0.1 of 2 images" in found.out


def test_classes_of_which_nothing_is_held_out_are_named(run, tmp_path):
  found = run(draw(tmp_path / "in", *tree("cat", count=10), *tree("dog", count=3)))
  assert found.report["written"] == {"train": 12, "test": 1}
  assert "test_fraction=0.1 of each class: no image of 1 classes, such as dog" in found.out


# --- more than 8 bits: bits-12-in-16 -----------------------------------------------------------


def gradient(top: int) -> np.ndarray:
  return np.linspace(0, top, 64 * 64).reshape(64, 64)


def test_twelve_bits_in_sixteen_are_told_and_have_a_key(run, tmp_path):
  (tmp_path / "in/a").mkdir(parents=True)
  for name, top in (("dim", 200), ("grad", 4095)):
    cv2.imwrite(str(tmp_path / f"in/a/{name}.png"), gradient(top).astype(np.uint16))
  found = run(tmp_path / "in")
  assert "remarked       2 more than 8 bits, of which few levels are left: a/dim.png" in found.out
  assert "the highest value is 4,095: --config.source.pixels.value_range=0,4095" in found.out
  assert "1 nearly one colour: a/dim.png" in found.out
  assert found.images(64)[1].max() == 15
  found = run(tmp_path / "in", "--config.source.pixels.value_range=0,4095")
  assert "1 more than 8 bits, of which few levels are left: a/dim.png" in found.out  # it is dim
  assert "nearly one colour" not in found.out
  np.testing.assert_allclose(found.images(64)[1, :, :, 0], gradient(255), atol=0.51)


@pytest.mark.parametrize(("dtype", "top"), [(np.int32, 1_000_000), (np.float32, 1)])
def test_whole_and_floating_point_numbers_are_told_and_have_a_key(run, tmp_path, dtype, top):
  draw(tmp_path / "in", "a/ok.png")
  values = gradient(top).astype(dtype)
  PIL.Image.fromarray(values).save(tmp_path / "in/a/wide.tif")
  found = run(tmp_path / "in", max_dropped=0.5)
  if dtype is np.float32:
    assert "1 floating-point pixels, which need --config.source.pixels.value_range" in found.out
  else:
    assert "few levels are left" in found.out or found.images(64)[1].max() == 255
  found = run(tmp_path / "in", f"--config.source.pixels.value_range=0,{top}")
  assert found.report["written"] == {"train": 2}
  np.testing.assert_allclose(found.images(64)[1, :, :, 0], gradient(255), atol=0.51)


def test_a_blank_picture_is_told(run, tmp_path):
  draw(tmp_path / "in", "a/ok.png")
  for form in ("png", "jpg"):
    cv2.imwrite(str(tmp_path / f"in/a/blank.{form}"), np.full((20, 20, 3), 200, np.uint8))
  found = run(tmp_path / "in")
  assert "2 nearly one colour: a/blank.jpg, a/blank.png" in found.out
  lines = (found.folder / "remarks.jsonl").read_text().splitlines()
  assert [json.loads(line) for line in lines] == [
    ["a/blank.jpg", "nearly one colour"],
    ["a/blank.png", "nearly one colour"],
  ]


# --- transparency and rotation: alpha-dropped, exif-not-alike ----------------------------------


def logo() -> np.ndarray:
  """A black disc on nothing, where the file holds black too."""
  y, x = np.mgrid[:16, :16]
  pixels = np.zeros((16, 16, 4), np.uint8)
  pixels[(y - 8) ** 2 + (x - 8) ** 2 < 25, 3] = 255
  return pixels


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "GIF"])
def test_a_black_logo_on_nothing_stays_visible(run, tmp_path, form):
  (tmp_path / "in/a").mkdir(parents=True)
  options = {"lossless": True} if form == "WEBP" else {}
  path = tmp_path / f"in/a/logo.{form.lower()}"
  PIL.Image.fromarray(logo()).save(path, form, **options)
  found = run(tmp_path / "in")
  image = found.images(16)[0]
  assert image[8, 8].max() == 0 and image[0, 0].min() == 255
  assert "1 transparent, laid on the background: a/logo" in found.out
  red = run(tmp_path / "in", "--config.source.pixels.background=255,0,0")
  assert red.images(16)[0, 0, 0].tolist() == [255, 0, 0]


def test_transparency_can_be_dropped_by_a_flag(run, tmp_path):
  (tmp_path / "in/a").mkdir(parents=True)
  PIL.Image.fromarray(logo()).save(tmp_path / "in/a/logo.png")
  found = run(tmp_path / "in", "--config.source.pixels.background=none")
  assert found.images(16).max() == 0 and "1 nearly one colour: a/logo.png" in found.out


def test_the_cameras_rotation_is_applied_alike(run, tmp_path):
  exif = PIL.Image.Exif()
  exif[0x0112] = 6
  forms = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tiff": "TIFF"}
  (tmp_path / "in/a").mkdir(parents=True)
  for suffix, form in forms.items():
    options = {"quality": 100} | ({"lossless": True} if form == "WEBP" else {})
    (tmp_path / f"in/a/x.{suffix}").write_bytes(encoded(smooth(16, 16), form, exif=exif, **options))
  found = run(tmp_path / "in", "--config.drop_duplicates=false")
  images = found.images(16).astype(int)
  assert np.abs(images - np.rot90(smooth(16, 16), -1).astype(int)).mean(axis=(1, 2, 3)).max() < 4
  assert "4 turned upright as EXIF says" in found.out
  as_they_lie = run(tmp_path / "in", "--config.source.pixels.rotate=false").images(16).astype(int)
  assert np.abs(as_they_lie - smooth(16, 16).astype(int)).mean(axis=(1, 2, 3)).max() < 4


# --- files that are images by their content: suffix-jfif ---------------------------------------


def test_an_image_is_one_by_any_name(run, tmp_path):
  folder = draw(tmp_path / "in", "a/ok.png") / "a"
  for number, name in enumerate(("0.jfif", "1.jpe", "2.JPG_large", "none", "3.dat")):
    (folder / name).write_bytes(encoded(np.roll(smooth(), number, axis=0), "JPEG"))
  if PIL.features.check("avif"):
    (folder / "4.avif").write_bytes(encoded(smooth(), "AVIF"))
  (folder / "notes.txt").write_text("no image")
  found = run(tmp_path / "in", "--config.source.test_fraction=0")
  assert len(found.keys("train")) == 6 + PIL.features.check("avif")
  assert "dropped        1 no image by its name: a/notes.txt" in found.out


def test_the_message_lists_what_it_counts(run, tmp_path):
  folder = draw(tmp_path / "in", "a/ok.png") / "a"
  (folder / "empty.png").write_bytes(b"")
  for i in range(4):
    (folder / f"{i}.txt").write_text("no image")
    (folder / f"{i}.jfif").write_bytes(encoded(smooth(), "JPEG"))
  found = run(tmp_path / "in")
  assert found.status == 2
  assert "1 of 6 images cannot be decoded" in found.error
  assert "(--config.max_dropped): 1 not decodable (a/empty.png)" in found.error
  assert "txt" not in found.error
  assert len(run(tmp_path / "in", max_dropped=0.9).keys("train")) == 5


@pytest.mark.parametrize(
  ("name", "data", "kind"),
  [
    ("photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
    ("photo.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
    ("scan.dcm", b"\0" * 128 + b"DICM" + b"\0" * 9, "DICOM"),
    ("photo.jxl", b"\xff\x0a" + b"\0" * 40, "JPEG XL"),
  ],
)
def test_images_of_formats_that_are_not_read_count_as_dropped(run, tmp_path, name, data, kind):
  folder = draw(tmp_path / "in", "a/ok.png") / "a"
  (folder / name).write_bytes(data)
  found = run(tmp_path / "in")
  assert found.status == 2 and f"1 format that is not read: {kind} (a/{name})" in found.error


# --- large images, and those that claim to be ---------------------------------------------------


def test_images_are_shrunk_once_and_the_saved_bytes_are_told(run, tmp_path):
  folder = draw(tmp_path / "in", "a/small.png") / "a"
  noise = np.random.default_rng(0).integers(0, 256, (96, 128, 1), dtype=np.uint8)
  cv2.imwrite(str(folder / "large.png"), noise)
  found = run(tmp_path / "in", "--config.source.shrink.longest_side=32")
  assert found.report["shrunk"]["images"] == 1
  assert found.report["shrunk"]["bytes_after"] < found.report["shrunk"]["bytes_before"] / 4
  assert "shrunk         1 images, " in found.out and " MB saved" in found.out
  records = PreparedSplit("x", "train", found.folder.parents[1]).records(range(2))
  files = {r["filename"].bytes_list.value[0]: r["image"].bytes_list.value[0] for r in records}
  assert PIL.Image.open(io.BytesIO(files[b"a/large.png"])).size == (32, 24)
  assert files[b"a/small.png"] == (folder / "small.png").read_bytes()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_few_bytes_that_claim_a_hundred_million_pixels_are_refused(run, tmp_path):
  folder = draw(tmp_path / "in", "a/ok.png") / "a"
  PIL.Image.new("1", (10_000, 9_990)).save(folder / "blank.tiff", compression="group4")
  assert (folder / "blank.tiff").stat().st_size < 1 << 14
  gif, sizes = bytearray(encoded(smooth(), "GIF")), struct.pack("<HH", 10_000, 9_990)
  gif[6:10] = sizes
  (folder / "blank.gif").write_bytes(gif)
  canvas = b"VP8X" + struct.pack("<IIHBHB", 10, 0, 9_999, 0, 9_989, 0)
  (folder / "blank.webp").write_bytes(b"RIFF\xa0\x0f\0\0WEBP" + canvas + b"\0" * 3970)
  found = run(tmp_path / "in", max_dropped=0.9)
  assert found.report["dropped"] == {"too large": 3}
