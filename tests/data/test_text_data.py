"""Texts: blocks and their parts, pairs in every form, and an order that nothing changes."""

import dataclasses
import json
import logging

import numpy as np
import pytest
import tiny_texts
from streams import digest, same, take
from tiny_texts import BEGIN, END, FIRST_ID, NO_TAG, PAD

from pretrainjax.data.field import Place
from pretrainjax.data.load import unpacked
from pretrainjax.data.text_data import TextData
from pretrainjax.errors import UserError

COUNT = 21  # records of "notes"; with batches of 4 an epoch ends within a batch


def ids(index: int, count: int) -> list[int]:
  """Tokens of text that say which record they are of."""
  return [FIRST_ID + index] * count


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
  """Where "notes" (labels), "more", "pairs" (scores), "tags", "blocks" and "torn" lie."""
  folder = tmp_path_factory.mktemp("texts")
  notes = [{"tokens": ids(i, 1 + i), "label": i % 3} for i in range(COUNT)]
  tiny_texts.write("notes", folder, {"train": notes, "test": notes[:5]}, class_names="abc")
  more = [{"tokens": ids(100 + i, 3), "label": i % 3} for i in range(9)]
  tiny_texts.write("more", folder, {"train": more}, class_names="abc")
  pairs = [
    {"tokens": ids(i, 2), "second": ids(50 + i, 3), "score": i / 4.0, "label": i % 2}
    for i in range(8)
  ]
  tiny_texts.write("pairs", folder, {"train": pairs}, class_names="xy", dtype=np.int32)
  tags = [{"tokens": ids(i, 4), "tags": [0, NO_TAG, 2, 1]} for i in range(5)]
  tiny_texts.write("tags", folder, {"train": tags}, tag_names=["O", "B-X", "I-X"])
  blocks = [tiny_texts.block([ids(2 * i, 3), ids(2 * i + 1, 9)], 16) for i in range(10)]
  blocks[9] = tiny_texts.block([ids(99, 4)], 16)  # half of it is padding
  tiny_texts.write("blocks", folder, {"train": blocks}, length=16)
  torn = [{"tokens": ids(i, 3)} for i in range(20)]
  torn[3] = {"tokens": b"odd"}
  torn[4] = {"tokens": [60000]}
  torn[11] = {}
  tiny_texts.write("torn", folder, {"train": torn})
  return folder


@pytest.fixture
def make(texts):
  """Returns `make(**changes)`, a TextData of "notes"."""

  def make(**changes) -> TextData:
    options = {"datasets": "notes", "batch_size": 4, "length": 12, "data_dir": str(texts)}
    return TextData(**(options | changes))

  return make


def indices(batches: list[dict]) -> list[int]:
  """Which records were seen, in order."""
  return [int(row[1]) - FIRST_ID for batch in batches for row in batch["tokens"]]


def whole(data: TextData) -> dict[str, np.ndarray]:
  """One pass over data of a single batch."""
  (batch,) = dataclasses.replace(data, batch_size=data.num_examples).one_pass()
  assert batch.pop("valid").all()
  return batch


def test_keys_of_blocks_say_which_part(make):
  data = make(datasets="blocks", length=8)
  keys = data.keys(seed=0, step=2)
  (batch,) = take(data, 1, start=2)
  for key, tokens in zip(keys, batch["tokens"], strict=True):
    number, _, piece = key.removeprefix("blocks/train/").partition("+")
    (record,) = unpacked(data.field, data.sources[0], np.array([int(number)]))
    example = data.field.arrays(record[0], Place(piece=int(piece)))
    np.testing.assert_array_equal(example["tokens"], tokens)
  assert {key[-2:] for key in keys} == {"+0", "+1"}


def test_facts_of_the_dataset(make):
  data = make(split="train+test")
  assert data.num_examples == COUNT + 5 and data.class_names == ("a", "b", "c")
  assert data.form == "examples" and data.vocab_size == 400 == data.tokenizer.vocab_size
  assert data.bytes_per_token == 3.0 and data.tag_names == ()
  assert make(datasets="tags").tag_names == ("O", "B-X", "I-X")
  assert make(datasets="blocks", length=8).form == "blocks"


def test_bytes_per_token_is_the_splits(make):
  assert make(split="test[:2]").bytes_per_token == 3.0
  assert make(split="all").bytes_per_token == 3.0
  assert make(datasets={"notes": 1.0, "more": 1.0}).bytes_per_token == 3.0


def test_texts_are_wrapped_and_filled_up_to_one_length(make):
  batch = whole(make())
  assert sorted(batch) == ["label", "segments", "tokens"]
  assert {array.dtype for array in batch.values()} == {np.dtype("int32")}
  for i in range(COUNT):
    kept = min(i + 1, 10)
    assert batch["tokens"][i].tolist() == [BEGIN, *ids(i, kept), END] + [PAD] * (10 - kept)
    assert batch["segments"][i].sum() == kept + 2 and batch["label"][i] == i % 3


def test_batches_are_those_of_earlier_versions(make):
  """A run goes on with what it would have seen."""
  assert digest(take(make(), 12, seed=3)) == "8333ec9afe699dc1"
  assert digest(take(make(datasets="blocks", length=8), 12, seed=3)) == "8cdad8039f2645b1"
  assert digest(take(make(datasets="pairs", pair="views"), 5, seed=3)) == "6b6cd895be4a464f"
  assert digest(list(make(datasets="tags").one_pass())) == "4a4bbfeadb63629a"


def test_tokens_are_counted_without_padding(make):
  for changes in ({}, {"views": 2}, {"datasets": "pairs", "pair": "views"}):
    data = make(**changes)
    (batch,) = take(data, 1)
    assert data.count(batch) == {"tokens": int((batch["segments"] > 0).sum())}


def test_the_order_is_a_function_of_seed_and_step(make):
  seen = indices(take(make(), 11, seed=3))
  assert sorted(seen[:COUNT]) == list(range(COUNT)) and seen[:COUNT] != list(range(COUNT))
  options = [{"num_threads": 1}, {"num_threads": 5}, {"cache": "memory"}]
  for changes in options:
    assert same(take(make(**changes), 11, seed=3), take(make(), 11, seed=3))
  assert not same(take(make(), 11, seed=4), take(make(), 11, seed=3))


@pytest.mark.parametrize("changes", [{}, {"datasets": "blocks", "length": 4}], ids=str)
@pytest.mark.parametrize("start", [1, 5, 9])
def test_resuming_is_as_never_stopping(make, changes, start):
  data = make(**changes)
  assert same(take(data, 12 - start, seed=7, start=start), take(data, 12, seed=7)[start:])


def test_processes_share_the_global_batch(make):
  data = make(datasets="pairs", pair="views")
  batches = take(data, 6, start=2)
  half = len(batches[0]["tokens"]) // 2
  for process, mine in enumerate((slice(half), slice(half, None))):
    part = take(data, 6, start=2, process_index=process, process_count=2)
    assert same(part, [{k: v[mine] for k, v in batch.items()} for batch in batches])


@pytest.mark.slow
def test_worker_processes_change_no_bit(make):
  options = {"word_starts": True, "views": 2}
  assert same(take(make(**options), 6), take(make(**options, num_workers=2), 6))


def test_label_fraction_is_stratified(make):
  data = make(label_fraction=0.5)
  assert data.num_examples == 12  # 4 of each 7
  assert np.bincount(whole(data)["label"]).tolist() == [4, 4, 4]


def test_blocks_are_read_as_they_are(make):
  batch = whole(make(datasets="blocks", length=16))
  assert sorted(batch) == ["segments", "tokens"]
  assert batch["tokens"][2].tolist() == [BEGIN, *ids(4, 3), END, BEGIN, *ids(5, 9), END]
  assert batch["segments"][2].tolist() == [1] * 5 + [2] * 11


def test_blocks_are_cut_into_rows_that_count_from_one(make):
  data = make(datasets="blocks", length=8)
  assert data.num_examples == 20
  batches = list(dataclasses.replace(data, batch_size=20).one_pass())
  tokens, segments, valid = (batches[0][name] for name in ("tokens", "segments", "valid"))
  assert tokens[4].tolist() == [BEGIN, *ids(4, 3), END, BEGIN, *ids(5, 2)]
  assert tokens[5].tolist() == [*ids(5, 7), END]
  assert segments[4].tolist() == [1] * 5 + [2] * 3 and segments[5].tolist() == [1] * 8
  # The last row is nothing but padding: another one stands in for it, and counts for nothing.
  assert valid.tolist() == [True] * 19 + [False] and (segments[19] > 0).any()
  assert all((batch["segments"] > 0).any(axis=1).all() for batch in take(data, 10))


def test_a_length_that_does_not_divide_is_refused_with_those_that_do(make):
  for length in (12, 32):
    with pytest.raises(UserError, match=f"data.length: found {length}, .* 16, .*'blocks'.*: 16, 8"):
      make(datasets="blocks", length=length).batches(seed=0)


def test_a_joint_pair_is_one_row_with_types(make):
  batch = whole(make(datasets="pairs"))
  assert batch["tokens"][3].tolist() == [BEGIN, *ids(3, 2), END, *ids(53, 3), END] + [PAD] * 4
  assert batch["types"][3].tolist() == [0] * 4 + [1] * 4 + [0] * 4
  assert batch["score"].dtype == np.float32
  assert batch["score"].tolist() == [i / 4 for i in range(8)]


def test_a_pair_of_views_is_two_rows(make):
  batch = whole(make(datasets="pairs", pair="views", length=6))
  assert batch["tokens"].shape == batch["segments"].shape == (8, 2, 6) and "types" not in batch
  assert batch["tokens"][3].tolist() == [
    [BEGIN, *ids(3, 2), END, PAD, PAD],
    [BEGIN, *ids(53, 3), END, PAD],
  ]
  assert batch["label"].shape == batch["score"].shape == (8,)


def test_a_prompt_and_its_response_are_one_document(make):
  batch = whole(make(datasets="pairs", pair="prompt", length=8))
  assert batch["tokens"][3].tolist() == [BEGIN, *ids(3, 2), *ids(53, 3), END, PAD]
  assert batch["scored"][3].tolist() == [False] * 3 + [True] * 4 + [False]
  assert batch["segments"][3].tolist() == [1] * 7 + [0]


def test_the_second_text_may_be_left_out(make):
  batch = whole(make(datasets="pairs", pair="first", length=6))
  assert batch["tokens"][3].tolist() == [BEGIN, *ids(3, 2), END, PAD, PAD] and "types" not in batch


def test_views_repeat_the_rows(make):
  one, two = (whole(make(views=n, word_starts=True)) for n in (1, 2))
  assert two["tokens"].shape == (COUNT, 2, 12) and two["label"].shape == (COUNT,)
  for name in ("tokens", "segments", "starts"):
    assert all(np.array_equal(two[name][:, v], one[name]) for v in range(2))


def test_tags_stand_where_their_tokens_do(make):
  batch = whole(make(datasets="tags", length=8))
  assert batch["tags"].dtype == np.int32
  assert batch["tags"][1].tolist() == [-1, 0, -1, 2, 1, -1, -1, -1]
  assert whole(make(datasets="tags", length=5))["tags"][1].tolist() == [-1, 0, -1, 2, -1]


def test_word_starts(make, tmp_path):
  made = tiny_texts.tokenizer()
  text = made.encode("the union, unionx")
  spelled = [made.decode([i]) for i in text]
  assert "".join(spelled) == "the union, unionx"
  tiny_texts.write("spelled", tmp_path, {"train": [{"tokens": text}]})
  data = make(datasets="spelled", length=24, word_starts=True, data_dir=str(tmp_path))
  starts = whole(data)["starts"][0]
  assert starts.dtype == bool and not starts[0] and not starts[len(text) + 1 :].any()
  # The first token follows [CLS], so that it begins a word though no space stands before it.
  expected = [place == 0 or part.startswith(" ") for place, part in enumerate(spelled)]
  assert starts[1 : len(text) + 1].tolist() == expected


def test_a_row_that_begins_within_a_word_begins_one_there(make):
  starts = whole(make(datasets="blocks", length=16, word_starts=True))["starts"]
  assert starts[2].tolist() == [False, True, *[False] * 4, True, *[False] * 9]
  batch = next(make(datasets="blocks", length=8, word_starts=True).one_pass())
  assert batch["starts"][1].tolist() == [True, *[False] * 7]


def test_corrupt_records_are_replaced_counted_and_told(make, caplog):
  data = make(datasets="torn", batch_size=5, max_bad_fraction=0.5)
  with caplog.at_level(logging.WARNING):
    seen = indices(take(data, 4))
  assert len(seen) == 20 and set(seen) == set(range(20)) - {3, 4, 11}
  told = "; ".join(sorted({r.getMessage() for r in caplog.records}))
  assert "torn/train/11: has no tokens" in told and "torn/train/4: found id 60000" in told
  assert "torn/train/3: buffer size" in told
  with pytest.raises(UserError, match="max_bad_fraction: 1 of .* records cannot be unpacked"):
    list(dataclasses.replace(data, max_bad_fraction=0.0, num_threads=1).one_pass())
  valid = np.concatenate([batch["valid"] for batch in data.one_pass()])
  assert np.flatnonzero(~valid).tolist() == [3, 4, 11]


def test_mixtures_share_a_tokenizer(make, texts):
  data = make(datasets={"notes": 2.0, "more": 1.0})
  seen = indices(take(data, 60))
  assert np.mean([i >= 100 for i in seen]) == pytest.approx(1 / 3, abs=0.02)
  assert same(take(data, 5, start=4), take(data, 9)[4:])
  if not (texts / "foreign").is_dir():
    made = tiny_texts.tokenizer(380)
    tiny_texts.write("foreign", texts, {"train": [{"tokens": [200], "label": 0}]}, made=made)
  with pytest.raises(UserError, match="'foreign' has tokenizer .* expected .* as 'notes'; .*path="):
    make(datasets={"notes": 1.0, "foreign": 1.0}).batches(seed=0)
  with pytest.raises(UserError, match="'notes' and 'tags' one has 'tags'"):
    make(datasets={"notes": 1.0, "tags": 1.0}).batches(seed=0)


@pytest.mark.parametrize("pair", ["views", "prompt"])
def test_a_pair_needs_a_second_text(make, pair):
  with pytest.raises(UserError, match=f"pair: found '{pair}', but 'notes' has no second text"):
    make(pair=pair).batches(seed=0)


def test_images_are_no_texts(make, data_dir):
  with pytest.raises(UserError, match="'shapes' has features .*image.*, expected a 'tokens'"):
    make(datasets="shapes", data_dir=str(data_dir)).batches(seed=0)


@pytest.mark.parametrize("name", ["sotu", "spam_assassin", "wordnet"])
def test_a_missing_set_names_its_command(make, name):
  with pytest.raises(
    UserError, match=f"prepare it: python -m pretrainjax.prepare {name} --data_dir"
  ):
    make(datasets=name).batches(seed=0)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"length": 3}, "length=3: expected at least 4"),
    ({"views": 0}, "views=0: expected at least 1"),
    ({"views": 2, "pair": "views"}, "views=2: with pair='views' expected 1"),
    ({"views": 2, "pair": "prompt"}, "views=2: with pair='prompt' expected 1"),
    ({"batch_size": 0}, "batch_size=0"),
  ],
)
def test_bad_arguments_are_named(make, changes, message):
  with pytest.raises(ValueError, match=message):
    make(**changes)


BLOCK = tiny_texts.block([ids(1, 3)], 16)
STRANGE = {
  "score that is no number": ({"tokens": ids(1, 3), "score": float("nan")}, {}, "found score"),
  "endless score": ({"tokens": ids(1, 3), "score": float("-inf")}, {}, "found score"),
  "unknown class": ({"tokens": ids(1, 3), "label": 3}, {"class_names": "abc"}, "found class"),
  "negative class": ({"tokens": ids(1, 3), "label": -2}, {"class_names": "abc"}, "found class"),
  "unknown tag": ({"tokens": ids(1, 2), "tags": [0, 2]}, {"tag_names": ["O", "X"]}, "found tag 2"),
  "document that is not there": (
    BLOCK | {"segments": [17] * 16},
    {"length": 16},
    "found document 17",
  ),
}


@pytest.mark.parametrize("name", STRANGE)
def test_records_of_strangers_are_counted_and_left_out(tmp_path, caplog, name):
  bad, options, words = STRANGE[name]
  good = {"tokens": ids(0, 2)} | {key: 0 for key in bad if key == "label"}
  good |= {"score": 0.5} if "score" in bad else {}
  good |= {"tags": [0, NO_TAG]} if "tags" in bad else {}
  good = tiny_texts.block([ids(0, 3)], 16) if "segments" in bad else good
  tiny_texts.write("strange", tmp_path, {"train": [good, bad]}, **options)
  place = {"datasets": "strange", "data_dir": str(tmp_path), "batch_size": 2, "length": 16}
  with caplog.at_level(logging.WARNING):
    (batch,) = TextData(max_bad_fraction=1.0, **place).one_pass()
  assert batch["valid"].tolist() == [True, False]
  assert any(words in message for message in caplog.messages)
  if "label" in bad:
    assert TextData(**place).sources[0].labels.tolist() == [0, -1]


@pytest.mark.parametrize(
  ("fact", "value", "words"),
  [
    ("length", "16", "length='16', expected an int"),
    ("length", True, "length=True, expected an int"),
    ("length", 0, "length=0, expected in"),
    ("length", 10**30, "expected in"),
    ("length", None, "length=None, expected an int"),
    ("splits", 3, "splits=3, expected a dict"),
    ("splits", {"train": {"bytes": "x", "tokens": 1}}, "expected counts of bytes and tokens"),
    ("splits", {}, "expected counts of bytes and tokens"),
  ],
)
def test_facts_of_strangers_are_checked(tmp_path, fact, value, words):
  folder = tiny_texts.write("strange", tmp_path, {"train": [BLOCK]}, length=16)
  facts = json.loads((folder / "prepared.json").read_text())
  (folder / "prepared.json").write_text(json.dumps(facts | {fact: value}))
  data = TextData(datasets="strange", data_dir=str(tmp_path), batch_size=1, length=16)
  with pytest.raises(UserError, match=words) as refusal:
    assert data.sources and data.bytes_per_token
  assert str(refusal.value).isprintable()
