"""Images and texts of one record: each as it would be alone, and one order for both."""

import dataclasses
import logging

import cv2
import numpy as np
import pytest
import tiny_datasets
import tiny_texts
from streams import same, take
from tiny_datasets import index_of
from tiny_texts import FIRST_ID

from pretrainjax.config import build, spec
from pretrainjax.config.text import from_json, to_json
from pretrainjax.data.dataset import Dataset
from pretrainjax.data.field import ArrayShape, Field
from pretrainjax.data.fields.image import ImageField
from pretrainjax.data.fields.text import TextField
from pretrainjax.data.image import RandomResizedCrop, Resize
from pretrainjax.data.image_data import ImageData
from pretrainjax.data.text_data import TextData
from pretrainjax.errors import UserError

COUNT = 22  # records of "captions"; with batches of 4 an epoch ends within a batch
CROP = RandomResizedCrop(5, scale=(0.3, 1.0))


def png(index: int) -> bytes:
  return cv2.imencode(".png", tiny_datasets.picture(index))[1].tobytes()


def caption(index: int) -> dict:
  """A record whose picture and whose text both say which one it is."""
  return {"image": png(index), "tokens": [FIRST_ID + index] * (1 + index % 4), "label": index % 3}


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
  """Where "captions", "torn" (3, 4, 11 of 20 are bad) and "blocks" (with pictures) lie."""
  folder = tmp_path_factory.mktemp("captions")
  captions = [caption(i) for i in range(COUNT)]
  tiny_texts.write("captions", folder, {"train": captions}, class_names="abc")
  torn = [caption(i) for i in range(20)]
  torn[3]["image"] = png(3)[:30]
  torn[4]["tokens"] = b"odd"
  del torn[11]["image"]
  tiny_texts.write("torn", folder, {"train": torn}, class_names="abc")
  blocks = [{"image": png(i)} | tiny_texts.block([[FIRST_ID + i] * 14], 16) for i in range(10)]
  tiny_texts.write("blocks", folder, {"train": blocks}, length=16)
  return folder


@pytest.fixture
def make(data_dir):
  """Returns `make(transform, **changes)`, a Dataset of "captions"."""

  def make(transform=Resize(6), fields=None, **changes) -> Dataset:
    fields = fields or {"text": TextField(length=8), "image": ImageField(transform=transform)}
    options = {"datasets": "captions", "batch_size": 4, "data_dir": str(data_dir)}
    return Dataset(fields=fields, **(options | changes))

  return make


def pairs(batches: list[dict]) -> list[tuple[int, int]]:
  """(record of the picture, record of the text) in order, of pictures that were not cropped."""
  return [
    (index_of(image), int(tokens[1]) - FIRST_ID)
    for batch in batches
    for image, tokens in zip(batch["image"], batch["tokens"], strict=True)
  ]


def test_both_arrays_are_of_one_record(make):
  batches = take(make(), 11)
  for batch in batches:
    assert sorted(batch) == ["image", "label", "segments", "tokens"]
    assert batch["image"].shape == (4, 6, 6, 1) and batch["tokens"].shape == (4, 8)
    assert batch["label"].tolist() == [image % 3 for image, _ in pairs([batch])]
  seen = pairs(batches)
  assert all(image == text for image, text in seen)
  for epoch in (seen[:COUNT], seen[COUNT:]):
    assert sorted(image for image, _ in epoch) == list(range(COUNT))


def test_each_field_is_as_it_would_be_alone(make, data_dir):
  """Bit for bit: the order, the crops, the rows."""
  options = {"datasets": "captions", "batch_size": 4, "data_dir": str(data_dir)}
  images = take(ImageData(transform=CROP, views=2, **options), 9, seed=5)
  texts = take(TextData(length=8, **options), 9, seed=5)
  fields = {"text": TextField(length=8), "image": ImageField(transform=CROP, views=2)}
  both = take(make(fields=fields), 9, seed=5)
  assert same(both, [a | b for a, b in zip(images, texts, strict=True)])
  turned = dict(reversed(fields.items()))
  assert same(both, take(make(fields=turned), 9, seed=5)), "names are sorted"


@pytest.mark.parametrize("start", [1, 5, 6, 11])
def test_resuming_is_as_never_stopping(make, start):
  whole = take(make(CROP), 14, seed=7)
  assert same(take(make(CROP), 14 - start, seed=7, start=start), whole[start:])


@pytest.mark.parametrize("start", [0, 5])
def test_processes_share_the_global_batch(make, start):
  whole = take(make(CROP), 6, start=start)
  for process in range(2):
    part = take(make(CROP), 6, start=start, process_index=process, process_count=2)
    mine = slice(2 * process, 2 * process + 2)
    assert same(part, [{k: v[mine] for k, v in batch.items()} for batch in whole])


@pytest.mark.parametrize("changes", [{"num_threads": 5}, {"cache": "memory"}], ids=str)
def test_the_machinery_changes_no_bit(make, changes):
  assert same(take(make(CROP), 8), take(make(CROP, **changes), 8))


@pytest.mark.slow
def test_worker_processes_change_no_bit(make):
  assert same(take(make(CROP), 6, start=3), take(make(CROP, num_workers=2), 6, start=3))


def test_one_bad_field_drops_the_whole_example(make, caplog):
  data = make(datasets="torn", batch_size=5, max_bad_fraction=0.5)
  with caplog.at_level(logging.WARNING):
    seen = pairs(take(data, 4))
  assert {image for image, _ in seen} == set(range(20)) - {3, 4, 11}
  assert all(image == text for image, text in seen), "never one record's picture, another's text"
  told = {r.getMessage().partition(": torn/train/")[2] for r in caplog.records}
  reasons = {message.split(": ", 1)[1] for message in told}
  assert {"image: has no image", "text: buffer size must be a multiple of element size"} < reasons
  assert len(reasons) == 3 and all(r.startswith(("image: ", "text: ")) for r in reasons)
  (batch,) = make(datasets="torn", batch_size=20, max_bad_fraction=0.5).one_pass()
  assert np.flatnonzero(~batch["valid"]).tolist() == [3, 4, 11]
  with pytest.raises(UserError, match="the last one: torn/train/.*: (image|text): "):
    list(make(datasets="torn", max_bad_fraction=0.0).one_pass())


def test_label_fractions_choose_records_for_both(make):
  data = make(label_fraction=0.5)
  seen = pairs(take(data, 6))[: data.num_examples]
  assert all(image == text for image, text in seen)
  counts = np.bincount([image % 3 for image, _ in seen], minlength=3)
  assert counts.sum() == data.num_examples == 4 + 4 + 4 and counts.tolist() == [4, 4, 4]


def test_pieces_of_one_field_come_with_the_whole_of_the_other(make):
  fields = {"text": TextField(length=8), "image": ImageField(transform=Resize(6))}
  data = make(datasets="blocks", fields=fields)
  assert data.num_examples == 20
  seen = pairs(take(data, 5))
  assert sorted(image for image, _ in seen) == sorted(2 * list(range(10)))
  assert all(image == text for image, text in seen)
  whole = make(datasets="blocks", fields=fields | {"text": TextField(length=16)})
  assert whole.num_examples == 10


@dataclasses.dataclass(frozen=True)
class Halves(ImageField):
  """Cuts each picture in two."""

  def pieces(self, source):
    return 2


def test_two_fields_that_cut_are_refused(make):
  fields = {"text": TextField(length=8), "image": Halves(transform=Resize(6))}
  message = "--config.data.fields: image and text each cut a record of 'blocks' .*2 and 2"
  with pytest.raises(UserError, match=message) as refused:
    make(datasets="blocks", fields=fields).batches(seed=0)
  assert "\n" not in str(refused.value)
  assert make(datasets="blocks", fields=fields | {"text": TextField(length=16)}).num_examples == 20


@dataclasses.dataclass(frozen=True)
class Noise(Field):
  """Draws a number; a field of somebody else's."""

  array: str

  def unpack(self, source, fields):
    return None

  def arrays(self, record, place):
    return {self.array: np.asarray(place.rng().random())}

  def shapes(self, sizes):
    return {self.array: ArrayShape((), np.float64)}

  def count(self, batch):
    return {}


def test_each_field_has_random_numbers_of_its_own(make):
  fields = {"a": Noise("x"), "b": Noise("y"), "c": Noise("z")}
  batches = take(make(fields=fields), 3)
  drawn = [float(v) for b in batches for name in "xyz" for v in b[name]]
  assert len(set(drawn)) == len(drawn) == 36
  alone = take(make(fields={"a": Noise("x")}), 3)
  assert all(np.array_equal(a["x"], b["x"]) for a, b in zip(alone, batches, strict=True))


def test_facts_are_those_of_the_fields(make):
  fields = {"text": TextField(length=8), "image": ImageField(transform=Resize(6), views=2)}
  data = make(fields=fields)
  assert data.tokenizer.vocab_size == 400 and data.arrays_with_views == ("image",)
  (batch,) = take(data, 1)
  assert data.count(batch) == {"images": 8, "tokens": int((batch["segments"] > 0).sum())}
  assert make(fields={"image": fields["image"]}).tokenizer is None
  shapes = data.shapes({"num_channels": 1, "vocab_size": 400})
  for name, array in batch.items():
    assert (4, *shapes[name].shape) == array.shape and shapes[name].dtype == array.dtype
    assert array.min() >= shapes[name].low or name == "segments"
  assert shapes["tokens"].high == 400


def test_mistakes_name_the_field(make):
  with pytest.raises(ValueError, match="fields: found none"):
    Dataset(datasets="captions", batch_size=4, fields={})
  two = {"text": TextField(length=8), "title": TextField(length=4)}
  with pytest.raises(ValueError, match="fields.title: makes 'tokens', which fields.text makes"):
    make(fields=two)
  with pytest.raises(ValueError, match="fields.x: makes 'label', which every dataset makes, too"):
    make(fields={"x": Noise("label")})
  views = {"text": TextField(length=8, pair="views")}
  with pytest.raises(UserError, match="--config.data.fields.text.pair: found 'views', but"):
    make(fields=views).batches(seed=0)
  with pytest.raises(UserError, match="--config.data.fields.text.length: found 5, expected a div"):
    make(datasets="blocks", fields={"text": TextField(length=5)}).batches(seed=0)


def test_a_config_says_it_all(make, data_dir):
  fields = {
    "image": spec(ImageField, transform=spec(RandomResizedCrop, size=5, scale=(0.3, 1.0))),
    "text": spec(TextField, length=8),
  }
  place = {"datasets": "captions", "batch_size": 4, "data_dir": str(data_dir)}
  config = spec(Dataset, fields=fields, **place)
  assert same(take(build(config), 3), take(make(CROP), 3))
  again = from_json(to_json(config))
  assert build(again) == build(config) == make(CROP)
  again.fields.text.length = 3
  with pytest.raises(
    UserError, match="config.data.fields.text.length: found 3, expected at least 4"
  ):
    build(again, path="config.data")


@pytest.fixture(scope="module")
def two_texts(tmp_path_factory):
  """Where "pairs" lies, of a first text with tags and a second one."""
  folder = tmp_path_factory.mktemp("pairs")
  rows = [
    {"tokens": [FIRST_ID + i] * 3, "second": [FIRST_ID + 50 + i] * 5, "tags": [0, 1, 0]}
    for i in range(8)
  ]
  tiny_texts.write("pairs", folder, {"train": rows}, tag_names=("O", "B-X"))
  return str(folder)


def test_two_texts_of_a_record_by_their_prefixes(two_texts):
  fields = {
    "question": TextField(length=8, pair="first"),
    "answer": TextField(length=12, pair="second", prefix="answer_"),
  }
  data = Dataset(datasets="pairs", fields=fields, batch_size=4, data_dir=two_texts)
  (batch,) = take(data, 1)
  assert batch["tokens"].shape == (4, 8) and batch["answer_tokens"].shape == (4, 12)
  np.testing.assert_array_equal(batch["answer_tokens"][:, 1], batch["tokens"][:, 1] + 50)
  assert data.count(batch) == {"tokens": 4 * (3 + 2 + 5 + 2)}
  assert {"tags", "answer_tags"} & set(batch) == {"tags"}
  with pytest.raises(ValueError, match="makes 'tokens', which fields"):
    Dataset(
      datasets="pairs", fields={"a": TextField(length=8), "b": TextField(length=8)}, batch_size=4
    )


def test_facts_of_texts_among_other_fields(two_texts):
  data = Dataset(
    datasets="pairs", fields={"t": TextField(length=8)}, batch_size=4, data_dir=two_texts
  )
  alone = TextData(datasets="pairs", length=8, batch_size=4, data_dir=two_texts)
  assert data.tag_names == alone.tag_names == ("O", "B-X")
  assert data.bytes_per_token == alone.bytes_per_token == 3.0
