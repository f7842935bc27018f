"""Batches are a function of (seed, step), whatever the threads, hosts and starts."""

import collections
import itertools
import logging

import numpy as np
import pytest
from streams import digest, same, take
from tiny_datasets import NUM_CLASSES, index_of, picture, write

from pretrainjax.data.field import Place
from pretrainjax.data.image import PadCrop, RandomResizedCrop, Resize
from pretrainjax.data.image_data import ImageData
from pretrainjax.data.load import unpacked
from pretrainjax.errors import UserError
from pretrainjax.prepare.image.example import Image, png

COUNT = 22  # records of "shapes"; with batches of 4 an epoch ends within a batch
CROP = RandomResizedCrop(5, scale=(0.3, 1.0))


@pytest.fixture
def make(data_dir):
  """Returns `make(**changes)`, an ImageData of "shapes"."""

  def make(**changes) -> ImageData:
    options = {"datasets": "shapes", "batch_size": 4, "transform": Resize(6)}
    return ImageData(**(options | {"data_dir": str(data_dir)} | changes))

  return make


def indices(batches: list[dict]) -> list[int]:
  """Which records were seen, in order; for pictures that were not cropped."""
  return [index_of(image) for batch in batches for image in batch["image"]]


def test_shapes_types_and_labels(make):
  for batch in take(make(), 12):
    assert sorted(batch) == ["image", "label"]
    assert batch["image"].shape == (4, 6, 6, 1) and batch["image"].dtype == np.uint8
    assert batch["label"].shape == (4,) and batch["label"].dtype == np.int32
    assert batch["label"].tolist() == [i % NUM_CLASSES for i in indices([batch])]


def test_facts_of_the_dataset(make):
  data = make(split="train+test")
  assert data.num_examples == 27 and data.num_classes == NUM_CLASSES
  assert data.class_names == tuple("abcd")


def test_each_epoch_holds_each_record_once_in_another_order(make):
  seen = indices(take(make(), 11))
  first, second = seen[:COUNT], seen[COUNT:]
  assert sorted(first) == sorted(second) == list(range(COUNT))
  assert first != second and first != sorted(first)


def test_the_seed_alone_decides(make):
  data = make(transform=CROP)
  assert same(take(data, 8, seed=3), take(make(transform=CROP), 8, seed=3))
  assert not same(take(data, 8, seed=3), take(data, 8, seed=4))


def test_batches_are_those_of_earlier_versions(make):
  """A run goes on with what it would have seen; crops without resampling, which may differ."""
  mixed = make(datasets={"shapes": 2.0, "more": 1.0}, transform=PadCrop(6, padding=2), views=2)
  assert digest(take(mixed, 12, seed=3)) == "7996ddad9bcf8137"
  assert digest(list(make(datasets="shapes").one_pass())) == "411f176064c9c998"


@pytest.mark.parametrize("start", [1, 3, 5, 6, 11, 17])
def test_resuming_is_as_never_stopping(make, start):
  """5 is the batch across the first epoch's end; 11 starts the third epoch."""
  whole = take(make(transform=CROP), 20, seed=7)
  assert same(take(make(transform=CROP), 20 - start, seed=7, start=start), whole[start:])


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("start", [0, 5])
def test_processes_share_the_global_batch(make, count, start):
  data = make(transform=CROP, views=2)
  whole = take(data, 8, start=start)
  for process in range(count):
    part = take(data, 8, start=start, process_index=process, process_count=count)
    rows = len(whole[0]["image"]) // count
    mine = slice(process * rows, (process + 1) * rows)
    assert same(part, [{k: v[mine] for k, v in batch.items()} for batch in whole])


@pytest.mark.parametrize(
  "changes", [{"num_threads": 1}, {"num_threads": 5}, {"cache": "memory"}], ids=str
)
def test_the_machinery_changes_no_bit(make, changes):
  options = {"transform": CROP, "views": 2}
  assert same(take(make(**options), 10), take(make(**options, **changes), 10))


@pytest.mark.slow
def test_worker_processes_change_no_bit(make):
  options = {"transform": CROP, "views": 2}
  for start in (0, 3):
    plain = take(make(**options), 6, start=start)
    assert same(plain, take(make(**options, num_workers=2), 6, start=start))


def test_label_fraction_is_stratified_and_stable(make):
  data = make(label_fraction=0.5)
  # 22 records: 6, 6, 5 and 5 of a class; Python rounds 2.5 to the even 2.
  assert data.num_examples == 3 + 3 + 2 + 2
  chosen = indices(take(data, 5))[:10]
  counts = collections.Counter(i % NUM_CLASSES for i in chosen)
  assert counts == {0: 3, 1: 3, 2: 2, 3: 2} and len(set(chosen)) == 10
  again = indices(take(make(label_fraction=0.5), 5, seed=9))[:10]
  assert sorted(again) == sorted(chosen), "the order's seed must not choose the labels"
  others = {
    tuple(sorted(indices(take(make(label_fraction=0.5, label_seed=s), 5))[:10])) for s in range(6)
  }
  assert len(others) > 1


def test_label_fraction_needs_labels(make):
  with pytest.raises(UserError, match="label_fraction: dataset 'bare' has no labels"):
    take(make(datasets="bare", label_fraction=0.5), 1)


def test_so_many_examples_of_each_class(make, caplog):
  data = make(examples_per_class=2)
  chosen = indices([*data.one_pass()])
  assert collections.Counter(i % NUM_CLASSES for i in chosen) == dict.fromkeys(range(4), 2)
  assert indices([*make(examples_per_class=2).one_pass()]) == chosen
  assert len({tuple(make(examples_per_class=2, label_seed=s).rows_used[0]) for s in range(6)}) > 1
  assert not caplog.records
  fit = make(examples_per_class=2, part="fit")
  assert fit.num_examples == 8 and not set(fit.rows_used[0]) & set(
    make(part="held_out").rows_used[0]
  )
  assert make(examples_per_class=2, datasets={"shapes": 1.0, "more": 1.0}).num_examples == 16


def test_classes_with_fewer_examples_keep_them_and_are_named(make, caplog):
  assert make(examples_per_class=6).num_examples == COUNT
  assert "shapes/train: 2 of 4 classes have fewer than 6 examples" in caplog.text
  assert "c 5, d 5" in caplog.text
  with pytest.raises(UserError, match="examples_per_class: dataset 'bare' has no labels"):
    make(datasets="bare", examples_per_class=1).batches(seed=0)


def test_without_labels_batches_have_none(make):
  assert sorted(take(make(datasets="bare"), 1)[0]) == ["image"]


@pytest.mark.parametrize(("weights", "share"), [((1.0, 1.0), 0.5), ((3.0, 1.0), 0.75)])
def test_mixtures_follow_their_weights(make, weights, share):
  data = make(datasets=dict(zip(("shapes", "more"), weights, strict=True)))
  assert data.num_examples == COUNT + 9
  seen = indices(take(data, 100))
  assert np.mean([i < 1000 for i in seen]) == pytest.approx(share, abs=0.02)
  # Within each dataset every record comes before any comes again.
  for part, count in ((0, COUNT), (1, 9)):
    own = [i for i in seen if (i >= 1000) == part]
    assert len(set(own[:count])) == count


def test_names_with_commas_are_mixed_as_if_they_were_one_dataset(make):
  data = make(datasets="shapes,more")
  assert data.num_examples == COUNT + 9
  seen = indices(take(data, 100))
  assert np.mean([i < 1000 for i in seen]) == pytest.approx(COUNT / (COUNT + 9), abs=0.02)


def test_mixtures_resume_and_share_alike(make):
  options = {"datasets": {"shapes": 2.0, "more": 1.0}, "transform": CROP}
  whole = take(make(**options), 16)
  assert same(take(make(**options), 9, start=7), whole[7:])
  part = take(make(**options), 16, process_index=1, process_count=2)
  half = len(whole[0]["image"]) // 2
  assert same(part, [{k: v[half:] for k, v in batch.items()} for batch in whole])


@pytest.mark.parametrize("step", [0, 4, 5, 13])
def test_the_keys_of_a_batch_are_found_anew(make, step):
  """5 is the batch across the first epoch's end; each key leads to the picture that was seen."""
  data = make()
  (batch,) = take(data, 1, seed=3, start=step)
  keys = data.keys(seed=3, step=step)
  assert [names(data)[key] for key in keys] == indices([batch])
  parts = [data.keys(seed=3, step=step, process_index=i, process_count=2) for i in (0, 1)]
  assert parts[0] + parts[1] == keys


def test_keys_name_the_dataset_and_what_stands_in(make):
  mixed = make(datasets={"shapes": 2.0, "more": 1.0})
  (batch,) = take(mixed, 1, start=9)
  assert [names(mixed)[key] for key in mixed.keys(seed=0, step=9)] == indices([batch])
  torn = make(datasets="torn", batch_size=20, max_bad_fraction=0.5)
  keys = torn.keys(seed=0, step=0)
  assert len(set(keys)) == 17 and set(keys) <= set(names(torn))
  assert [names(torn)[key] for key in keys] == indices(take(torn, 1))


def names(data) -> dict[str, int]:
  """Which picture is behind each key of a pipeline's records, of those that can be read."""
  found = {}
  for source in data.sources:
    for number in range(len(source)):
      (record,) = unpacked(data.field, source, np.array([number]))
      if not isinstance(record, str):
        image = data.field.arrays(record[0], Place())["image"]
        found[f"{source.name}/{source.split}/{number}"] = index_of(image)
  return found


def test_one_pass_shows_each_example_once_in_order(make):
  batches = list(make(batch_size=8).one_pass())
  assert [int(b["valid"].sum()) for b in batches] == [8, 8, 6]
  assert {b["image"].shape for b in batches} == {(8, 6, 6, 1)}
  valid = np.concatenate([b["valid"] for b in batches])
  seen = np.array(indices(batches))[valid]
  assert sorted(seen) == list(range(COUNT))
  again = list(make(batch_size=5, num_threads=4, cache="memory").one_pass())
  kept = np.concatenate([b["valid"] for b in again])
  np.testing.assert_array_equal(np.array(indices(again))[kept], seen)


def test_one_pass_keeps_to_the_labels_chosen(make):
  data = make(label_fraction=0.5, batch_size=4)
  passed = [i for b in data.one_pass() for i in np.array(indices([b]))[b["valid"]]]
  assert sorted(passed) == sorted(indices(take(data, 5))[:10])


def test_a_corrupt_record_is_replaced_and_told(make, caplog):
  data = make(datasets="torn", batch_size=5, max_bad_fraction=0.5)
  with caplog.at_level(logging.WARNING):
    seen = indices(take(data, 4))
  good = set(range(20)) - {3, 4, 11}
  assert len(seen) == 20 and set(seen) == good  # three of them stand in for the corrupt
  told = [r.getMessage() for r in caplog.records]
  assert all(m.startswith("record skipped: torn/train/") and "\n" not in m for m in told)
  assert len({m.split(":")[1] for m in told}) == 3


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_replacements_do_not_depend_on_the_machinery(make, cache):
  options = {"datasets": "torn", "max_bad_fraction": 0.5, "transform": CROP}
  whole = take(make(**options), 12)
  assert same(take(make(**options, cache=cache, num_threads=4), 8, start=4), whole[4:])


def test_a_neighbour_stands_in_for_a_corrupt_record(make):
  rows = [
    r
    for b in make(datasets="torn", max_bad_fraction=0.5, batch_size=20).one_pass()
    for r in indices([b])
  ]
  twice = [i for i, count in collections.Counter(rows).items() if count > 1]
  assert len(rows) == 20 and 1 <= len(twice) <= 3


def test_too_many_corrupt_records_end_the_run(make):
  data = make(datasets="torn", max_bad_fraction=0.0, num_threads=1)
  stream = data.batches(seed=0)
  with pytest.raises(UserError) as caught:
    list(itertools.islice(stream, 20))
  stream.close()
  message = str(caught.value)
  assert message.startswith("--config.data.max_bad_fraction: 1 of ") and "torn/train/" in message
  assert "records cannot be unpacked, expected at most 0.00%" in message and "\n" not in message


def test_mistakes_are_told_at_the_call_not_in_a_thread(make):
  with pytest.raises(UserError, match="no split"):
    make(split="tarin").batches(seed=0)
  with pytest.raises(UserError, match="no dataset 'shops'.*did you mean 'shapes'"):
    make(datasets="shops").batches(seed=0)
  with pytest.raises(UserError, match="found 4, expected a multiple of 3 processes"):
    make().batches(seed=0, process_count=3)


def test_a_batch_beyond_memory_is_refused(make):
  """Before it is begun."""
  with pytest.raises(ValueError, match="batch_size=1000000000000: expected below 2\\^31"):
    make(batch_size=10**12)
  size = 2**31 - 2
  message = f"--config.data.batch_size: found {size}, .* expected less than its memory"
  with pytest.raises(UserError, match=message):
    make(batch_size=size).batches(seed=0)
  with pytest.raises(UserError, match=message):
    next(make(batch_size=size).one_pass())
  with pytest.raises(UserError, match="this machine would hold"):
    make(batch_size=size).batches(seed=0, process_count=2)


def test_the_environment_names_the_folder(make, data_dir, monkeypatch):
  monkeypatch.setenv("PRETRAINJAX_DATA", str(data_dir))
  assert make(data_dir=None).num_examples == COUNT


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"batch_size": 0}, "batch_size=0: expected at least 1"),
    ({"num_workers": -1}, "num_workers=-1: expected at least 0"),
    ({"label_fraction": 0.0}, r"label_fraction=0.0: expected in \(0, 1\]"),
    ({"examples_per_class": 0}, "examples_per_class=0: expected at least 1"),
    ({"examples_per_class": 5, "label_fraction": 0.5}, "found both, expected one of them"),
    ({"datasets": {"shapes": 0.0}}, "weights are above 0"),
    ({"datasets": {}}, "datasets"),
    ({"datasets": ""}, "expected a name"),
    ({"datasets": "shapes,"}, "different names with commas"),
    ({"datasets": "shapes,shapes"}, "different names with commas"),
    ({"max_bad_fraction": -0.1}, "max_bad_fraction=-0.1"),
  ],
)
def test_bad_arguments_are_named(make, changes, message):
  with pytest.raises(ValueError, match=message):
    make(**changes)


def test_an_empty_split_is_refused(make):
  with pytest.raises(UserError, match="train\\[:0\\]"):
    make(split="train[:0]").batches(seed=0)


def test_mixtures_of_other_classes_have_no_labels(make):
  same_classes = make(datasets={"shapes": 1.0, "more": 1.0})
  assert same_classes.num_classes == NUM_CLASSES and "label" in take(same_classes, 1)[0]
  other_classes = make(datasets={"shapes": 1.0, "bare": 1.0})
  assert other_classes.class_names == ()
  assert all("label" not in batch for batch in take(other_classes, 8))


def test_one_pass_marks_what_stands_in(make):
  """A score must not count a neighbour twice."""
  batches = list(make(datasets="torn", max_bad_fraction=0.5, batch_size=8).one_pass())
  valid = np.concatenate([b["valid"] for b in batches])
  assert valid.dtype == bool and valid.shape == (24,) and valid.sum() == 17
  seen = np.array(indices(batches))[valid]
  assert sorted(seen) == sorted(set(range(20)) - {3, 4, 11})


def test_records_in_memory_are_not_sent_to_workers(make):
  with pytest.raises(ValueError, match="num_workers: with cache='memory' expected 0"):
    make(cache="memory", num_workers=2)


def test_what_is_held_out_is_not_learnt_from(make):
  """Of a dataset without a validation split: 5 % of each class, the same for both sides."""
  fit, held = make(part="fit"), make(part="held_out")
  first, second = (set(indices([*data.one_pass()])) for data in (fit, held))
  assert not first & second and len(first | second) == make().num_examples
  labels = [int(label) for batch in held.one_pass() for label in batch["label"][batch["valid"]]]
  assert set(labels) == set(range(NUM_CLASSES))
  few = make(part="fit", label_fraction=0.5)
  assert set(indices([*few.one_pass()])) < first


def test_a_validation_split_is_taken_as_it_is(tmp_path):
  images = [
    Image(f"{split}/{i}", png(picture(i)), None, split, (6, 6, 1), digest=None)
    for split, count in {"train": 6, "validation": 2}.items()
    for i in range(count)
  ]
  write("both", tmp_path, images)
  options = {"datasets": "both", "data_dir": str(tmp_path), "batch_size": 2}
  fit, held = (ImageData(**options, transform=Resize(6), part=p) for p in ("fit", "held_out"))
  assert (fit.num_examples, held.num_examples) == (6, 2)
  assert held.sources[0].split == "validation"


def test_too_few_to_hold_one_out_are_told(tmp_path):
  write("one", tmp_path, [Image("a", png(picture(1)), None, "train", (6, 6, 1), digest=None)])
  options = {"datasets": "one", "data_dir": str(tmp_path), "batch_size": 1, "part": "held_out"}
  with pytest.raises(UserError, match="config.data.part: .* 1 examples of one/train are too few"):
    _ = ImageData(**options, transform=Resize(6)).num_examples
