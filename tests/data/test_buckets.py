"""Batches of rows of about one length; the order is a function of seed and step all the same."""

import itertools

import numpy as np
import pytest
import tiny_texts
from streams import same, take
from tiny_texts import FIRST_ID, PAD

from pretrainjax.data.buckets import Buckets, bucket_lengths, few_lengths, padding_of
from pretrainjax.data.dataset import Dataset
from pretrainjax.data.fields.text import TextField
from pretrainjax.data.text_data import TextData
from pretrainjax.errors import UserError

COUNT, BATCH = 90, 4
LENGTH = 32


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
  """Where "notes" (of many lengths), "torn" (each seventh is bad) and "blocks" lie."""
  folder = tmp_path_factory.mktemp("lengths")
  rng = np.random.default_rng(0)
  counts = np.minimum(rng.geometric(0.12, COUNT), 40)
  notes = [{"tokens": [FIRST_ID + i] * int(n), "label": i % 3} for i, n in enumerate(counts)]
  tiny_texts.write("notes", folder, {"train": notes}, class_names="abc")
  torn = [r if i % 7 else {"tokens": [60000] * 3, "label": 0} for i, r in enumerate(notes)]
  torn[14] = {"tokens": b"odd", "label": 0}
  tiny_texts.write("torn", folder, {"train": torn}, class_names="abc")
  blocks = [tiny_texts.block([[FIRST_ID + i] * 14], 16) for i in range(4)]
  tiny_texts.write("blocks", folder, {"train": blocks}, length=16)
  return folder


@pytest.fixture
def make(texts):
  """Returns `make(**changes)`, a TextData of "notes" in three buckets."""

  def make(**changes) -> TextData:
    options = {"datasets": "notes", "batch_size": BATCH, "length": LENGTH, "buckets": 3}
    return TextData(**(options | {"data_dir": str(texts)} | changes))

  return make


def seen(batches: list[dict]) -> list[int]:
  """Records in order."""
  return [int(row[1]) - FIRST_ID for batch in batches for row in batch["tokens"]]


def test_a_batch_has_one_length_of_few_and_holds_its_rows(make):
  data = make()
  batches = take(data, 60)
  lengths = {batch["tokens"].shape[1] for batch in batches}
  assert lengths == set(data.padding.lengths) and len(lengths) == 3 and max(lengths) == LENGTH
  plain_batches = take(make(buckets=1), 60)
  rows = np.concatenate([batch["tokens"] for batch in plain_batches])
  plain = dict(zip(seen(plain_batches), rows, strict=True))
  for batch in batches:
    length = batch["tokens"].shape[1]
    assert batch["segments"].shape == (BATCH, length) and batch["label"].shape == (BATCH,)
    for i, row in zip(seen([batch]), batch["tokens"], strict=True):
      np.testing.assert_array_equal(row, plain[i][:length])
      assert (plain[i][length:] == PAD).all(), "nothing but padding is cut off"


def test_an_epoch_shows_each_example_once(make):
  """But for windows of 48 batches, which are two epochs and a bit here."""
  window = 16 * 3 * BATCH
  rows = seen(take(make(), window // BATCH * 2))
  plain = seen(take(make(buckets=1), window // BATCH * 2))
  for part in (slice(window), slice(window, 2 * window)):
    assert sorted(rows[part]) == sorted(plain[part]), "a window is rearranged, no more"
  assert set(np.bincount(rows[:window], minlength=COUNT)) == {2, 3}, "192 of 90 records"


@pytest.mark.parametrize("start", [1, 30, 47, 48, 60])
def test_resuming_is_as_never_stopping(make, start):
  whole = take(make(), 70, seed=5)
  assert same(take(make(), 70 - start, seed=5, start=start), whole[start:])
  assert not same(whole, take(make(), 70, seed=6))


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_the_global_batch(make, count):
  whole = take(make(), 55)
  for process in range(count):
    part = take(make(), 55, process_index=process, process_count=count)
    mine = slice(process * BATCH // count, (process + 1) * BATCH // count)
    assert same(part, [{k: v[mine] for k, v in batch.items()} for batch in whole])


@pytest.mark.parametrize(
  "changes", [{"num_threads": 5}, {"cache": "memory"}, {"label_fraction": 0.5}], ids=str
)
def test_the_machinery_changes_no_bit(make, changes):
  plain = {k: v for k, v in changes.items() if k == "label_fraction"}
  assert same(take(make(**plain), 50), take(make(**changes), 50))


@pytest.mark.slow
def test_worker_processes_change_no_bit(make):
  assert same(take(make(), 6, start=45), take(make(num_workers=2), 6, start=45))


def test_mixtures_are_arranged_as_well(make):
  data = make(datasets={"notes": 2.0, "torn": 1.0}, max_bad_fraction=0.5)
  whole = take(data, 60)
  assert len({batch["tokens"].shape[1] for batch in whole}) == 3
  assert same(take(data, 20, start=40), whole[40:])


@pytest.mark.parametrize("step", [0, 47, 50])
def test_keys_are_those_of_the_batch(make, step):
  data = make()
  (batch,) = take(data, 1, seed=2, start=step)
  assert data.keys(seed=2, step=step) == [f"notes/train/{i}" for i in seen([batch])]


def test_what_stands_in_for_a_bad_record_fits(make):
  data = make(datasets="torn", max_bad_fraction=0.5)
  for batch in take(data, 60):
    for i, row in zip(seen([batch]), batch["tokens"], strict=True):
      assert i % 7 and row[np.count_nonzero(row != PAD) - 1] == tiny_texts.END, "it is whole"


def test_evaluation_has_rows_of_one_length(make):
  assert same(list(make().one_pass()), list(make(buckets=1).one_pass()))


@pytest.mark.parametrize(
  "name, batch_size", [("notes", 4), ("notes", 64), ("torn", 4), ("blocks", 4)]
)
def test_a_pass_by_length_has_the_examples_of_a_plain_one_in_shorter_rows(make, name, batch_size):
  sizes = {"batch_size": batch_size, "length": 16 if name == "blocks" else 32}
  data = make(datasets=name, buckets=1, max_bad_fraction=0.5, **sizes)
  plain = {}
  for batch in data.one_pass():
    for row in zip(*batch.values(), strict=True):
      plain[len(plain)] = dict(zip(batch, row, strict=True))
  batches, seen = list(data.pass_by_length()), set()
  for batch in batches:
    assert len(batch["index"]) == batch_size
    for row in zip(*batch.values(), strict=True):
      row = dict(zip(batch, row, strict=True))
      place = int(row.pop("index"))
      assert row["valid"] == (place >= 0 and plain[place]["valid"])
      if not row["valid"]:
        continue
      seen.add(place)
      for key, array in row.items():
        whole = plain[place][key]
        np.testing.assert_array_equal(array, whole[: len(array)] if np.ndim(whole) else whole)
        assert key != "tokens" or (whole[len(array) :] == PAD).all()
  assert seen == {place for place, row in plain.items() if row["valid"]}
  lengths = {batch["tokens"].shape[1] for batch in batches}
  if name == "notes" and batch_size == 4:
    assert 1 < len(lengths) <= 4 and max(lengths) <= LENGTH
    places = sum(batch["tokens"].size for batch in batches)
    assert places < 0.7 * len(plain) * LENGTH


def test_few_lengths_have_the_least_padding():
  rng = np.random.default_rng(0)
  needed = rng.integers(1, 7, 40) * 8
  for count in (1, 2, 3, 6):
    found = np.asarray(few_lengths(needed, count=count))
    cost = found[np.searchsorted(found, needed)].sum()
    choices = itertools.combinations(np.unique(needed)[:-1], min(count, 6) - 1)
    costs = []
    for choice in choices:
      lengths = np.array([*choice, needed.max()])
      costs.append(lengths[np.searchsorted(lengths, needed)].sum())
    assert cost == min(costs) and len(found) <= count


def test_padding_is_less_and_told(make):
  data = make()
  assert 0 < data.padding.share < data.padding.share_of_one - 0.2
  batches = take(data, 48)
  places = sum(batch["tokens"].size for batch in batches)
  real = sum(data.count(batch)["tokens"] for batch in batches)
  assert 1 - real / places == pytest.approx(data.padding.share, abs=0.1)
  assert make(buckets=1).padding is None


def test_pairs_are_as_long_as_their_form(texts):
  rng = np.random.default_rng(1)
  sizes = rng.integers(1, 14, (40, 2))
  records = [{"tokens": [FIRST_ID] * int(a), "second": [FIRST_ID + 1] * int(b)} for a, b in sizes]
  tiny_texts.write("pairs", texts, {"train": records})
  for pair in ("joint", "views", "prompt", "first"):
    options = {"batch_size": 1, "length": 20, "pair": pair, "data_dir": str(texts)}
    data = TextData(datasets="pairs", buckets=4, **options)
    (whole,) = TextData(datasets="pairs", **(options | {"batch_size": 40})).one_pass()
    data._open()
    used = (whole["segments"] > 0).sum(axis=-1)
    np.testing.assert_array_equal(data.row_lengths[0], used.max(axis=1) if used.ndim == 2 else used)


def test_other_fields_keep_their_shape(texts):
  class Sizes(TextField):
    def arrays(self, record, place):
      return {"size": np.arange(5) + len(record.tokens)}

    def shapes(self, sizes):
      return {}

  fields = {"size": Sizes(length=LENGTH), "text": TextField(length=LENGTH, buckets=3)}
  data = Dataset(datasets="notes", batch_size=BATCH, data_dir=str(texts), fields=fields)
  batches = take(data, 50)
  assert len({batch["tokens"].shape for batch in batches}) == 3
  assert {batch["size"].shape for batch in batches} == {(BATCH, 5)}


def test_what_has_no_buckets_is_refused(make):
  with pytest.raises(ValueError, match="buckets=0: expected at least 1"):
    make(buckets=0)
  with pytest.raises(UserError, match="--config.data.buckets: found 3, expected 1: 'blocks' is pa"):
    make(datasets="blocks", length=16).batches(seed=0)

  class Other(TextField):
    def shapes(self, sizes):
      return {}

  fields = {"a": Other(length=8, buckets=2), "b": TextField(length=8, buckets=2)}
  with pytest.raises(ValueError, match="fields: a and b have buckets, expected one such field"):
    Dataset(datasets="notes", batch_size=4, fields=fields)


def test_lengths_are_quantiles_and_rise():
  lengths = np.arange(1, 101, dtype=np.int32)
  assert bucket_lengths(lengths, buckets=4, longest=100) == (32, 56, 80, 100)
  assert bucket_lengths(np.full(9, 3), buckets=4, longest=64) == (8, 64)
  assert bucket_lengths(np.array([-1, -1]), buckets=3, longest=64) == (64,)
  assert padding_of(np.array([8, 8, 32, -1]), (8, 32)) == ((8, 32), 0.0, 0.5)


def test_unknown_lengths_go_where_all_fit():
  order = [(0, i % 4) for i in range(64)]
  lengths = [np.array([3, -1, 3, 3])]
  buckets = Buckets(order, lengths, buckets=(4, 9), batch_size=2, seed=0)
  rows = [buckets[i] for i in range(64)]
  assert all(row.length == 9 for row in rows if row.key[1] == 1)
  assert sorted(row.position for row in rows) == list(range(64))
