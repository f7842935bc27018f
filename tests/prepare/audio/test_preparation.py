"""Sounds on their way into a set: who is held out, what stands there twice, transcripts."""

import hashlib
import itertools
import json

import numpy as np
import pytest
import tiny_sounds

from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.prepare.audio import preparation as preparations
from pretrainjax.prepare.audio import transcripts
from pretrainjax.prepare.audio.example import Facts
from pretrainjax.prepare.audio.preparation import AudioCollector, AudioPreparation
from pretrainjax.prepare.audio.table import AudioTable
from pretrainjax.prepare.stages import collect, shards


def report(folder) -> dict:
  return json.loads((folder / "prepared.json").read_text())


def of(index: int, *, samples: int = 1600, group: str | None = None, **facts):
  return tiny_sounds.counting(index, samples)._replace(facts=Facts(**facts), group=group)


def test_nobody_is_on_both_sides(tmp_path):
  sounds = [of(i, group=f"speaker{i % 7}", text="word") for i in range(70)]
  folder = tiny_sounds.write("said", tmp_path, sounds, fraction=0.25)
  splits = {split: tiny_sounds.keys("said", split, tmp_path) for split in ("train", "test")}
  who = {split: {int(key) % 7 for key in keys} for split, keys in splits.items()}
  assert {split: len(found) for split, found in who.items()} == {"train": 5, "test": 2}
  assert not who["train"] & who["test"]
  assert report(folder)["held_out"] == {"fraction": 0.25, "share_of": "groups"}
  assert report(folder)["num_groups_in_two_splits"] == 0


def test_of_two_speakers_one_is_held_out_and_of_one_none(tmp_path):
  two = [of(i, group="ab"[i % 2]) for i in range(10)]
  folder = tiny_sounds.write("two", tmp_path, two, fraction=0.1)
  assert report(folder)["written"] == {"train": 5, "test": 5}
  one = [of(i, group="a") for i in range(10)]
  folder = tiny_sounds.write("one", tmp_path, one, fraction=0.1)
  assert report(folder)["written"] == {"train": 10}
  assert report(folder)["held_out"]["share_of"] == "nothing"


def test_groups_of_one_class_are_held_out_class_by_class(tmp_path):
  """Pieces of a file are of its class."""
  sounds = [of(i, group=f"file{i // 2}", label="abc"[i // 2 % 3]) for i in range(60)]
  tiny_sounds.write("pieces", tmp_path, sounds, fraction=0.2)
  held_out = [int(key) for key in tiny_sounds.keys("pieces", "test", tmp_path)]
  assert sorted(i // 2 % 3 for i in held_out) == [0] * 4 + [1] * 4 + [2] * 4
  assert len({i // 2 for i in held_out}) == 6


def test_who_is_on_both_sides_of_given_splits_is_told(tmp_path):
  sounds = [of(i, group=f"{i // 2}", split=("train", "test")[i % 2]) for i in range(4)]
  found = report(tiny_sounds.write("given", tmp_path, sounds, fraction=0.5))
  assert found["num_groups_in_two_splits"] == 2 and found["groups_in_two_splits"] == ["0", "1"]


def test_equal_samples_in_two_splits_are_found(tmp_path):
  again = of(1, split="test")._replace(key="again")
  sounds = [of(0), of(1), of(2), again]
  found = report(tiny_sounds.write("twice", tmp_path, sounds))
  assert found["duplicates_between_splits"] == [["train", "0001", "test", "again"]]
  assert found["written"] == {"train": 3, "test": 1}
  dropping = AudioPreparation(drop_duplicates=True)
  found = report(tiny_sounds.write("once", tmp_path, sounds, preparation=dropping))
  assert found["written"] == {"train": 2, "test": 1}
  assert found["dropped"] == {"same samples as an example of another split": 1}


def test_a_record_holds_what_was_said(tmp_path):
  texts = ["Yes!", "Oui, \u00e7a va."]
  sounds = [
    of(i, text=text, label="ab"[i], strings={"speaker": f"s{i}"}) for i, text in enumerate(texts)
  ]
  sounds.append(of(2, text="?!", label="a"))
  folder = tiny_sounds.write("said", tmp_path, sounds)
  source = PreparedSplit("said", "train", tmp_path)
  tokenizer = Tokenizer.load(folder / "tokenizer.json")
  records = sorted(source.records([0, 1]), key=lambda r: r["filename"].bytes_list.value[0])
  for i, record in enumerate(records):
    values = {name: record[name].bytes_list.value[0] for name in ("audio", "text", "tokens")}
    assert np.array_equal(np.frombuffer(values["audio"], np.int16), sounds[i].audio)
    assert values["text"].decode() == texts[i]
    ids = np.frombuffer(values["tokens"], source.dtype("tokens"))
    assert tokenizer.decode(ids) == ("yes", "oui \u00e7a va")[i]
    assert record["speaker"].bytes_list.value[0].decode() == f"s{i}"
    assert source.label(record) == i
  found = report(folder)
  assert found["dropped"] == {"no word in its transcript": 1}
  assert found["transcript_rule"] == "words" and found["transcript_length"] == 9
  assert found["unknown_tokens"] == 0 and found["tokens"] == 12
  assert found["sampling_rate"] == 16_000 and found["longest_seconds"] == 0.1


def test_some_with_and_some_without(tmp_path):
  with pytest.raises(UserError, match="a transcript .0000. and without .0001.*transcripts=false"):
    tiny_sounds.write("some", tmp_path, [of(0, text="word"), of(1)])
  with pytest.raises(UserError, match="with a class .0001. and without .0000.*labels=none"):
    tiny_sounds.write("other", tmp_path, [of(0), of(1, label="a")])


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram"])
def test_other_kinds_of_tokenizers(tmp_path, kind):
  """Which read the transcripts in a thread of their own."""
  options = type(AudioPreparation().tokenizer)(kind=kind, vocab_size=300, num_sentinels=0)
  sounds = [of(i, text=f"a bad cab number {i % 3}") for i in range(6)]
  preparation = AudioPreparation(tokenizer=options)
  folder = tiny_sounds.write("said", tmp_path, sounds, preparation=preparation)
  tokenizer = Tokenizer.load(folder / "tokenizer.json")
  source = PreparedSplit("said", "train", tmp_path)
  packed = [record["tokens"].bytes_list.value[0] for record in source.records(range(6))]
  ids = [np.frombuffer(data, source.dtype("tokens")) for data in packed]
  assert all(tokenizer.decode(one).startswith("a bad cab number") for one in ids)
  assert report(folder)["transcript_length"] == max(map(len, ids))


def test_a_tokenizer_from_elsewhere(tmp_path):
  sounds = [of(0, text="abc")]
  first = tiny_sounds.write("first", tmp_path, sounds)
  path = str(first / "tokenizer.json")
  options = AudioPreparation().tokenizer
  taken = AudioPreparation(tokenizer=type(options)(path=path, kind="characters", num_sentinels=0))
  folder = tiny_sounds.write("second", tmp_path, [of(0, text="a bad cab")], preparation=taken)
  assert report(folder)["tokenizer"] == report(first)["tokenizer"]
  assert report(folder)["unknown_tokens"] == 3  # "d" and two spaces


class Stop(BaseException):
  """The end of a run, as SIGKILL would be."""


# What is called, and which of its calls is the last one, done or not.
EVERYWHERE = [
  (AudioCollector, "take", 9, True),
  (AudioCollector, "take", 20, False),
  (collect._Progress, "commit", 1, True),
  (AudioTable, "hold_out", 0, True),
  (AudioTable, "group_numbers", 0, True),
  (transcripts, "_write", 0, False),
  (transcripts, "_write", 0, True),
  (preparations, "facts", 0, False),
  (shards, "ArrayRecordWriter", 1, True),
]


def test_a_run_that_is_stopped_anywhere_ends_with_the_same_bytes(tmp_path, monkeypatch):
  monkeypatch.setattr(collect, "_EVERY", 7)
  sounds = [of(i, group=f"{i // 3}", text=f"word {i}", label="ab"[i % 2]) for i in range(24)]

  def digests(data_dir) -> dict[str, str]:
    folder = tiny_sounds.write("said", data_dir, sounds, fraction=0.2)
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}

  wanted = digests(tmp_path / "once")
  for place, (module, name, count, late) in enumerate(EVERYWHERE):
    original, calls = getattr(module, name), itertools.count()

    def stopping(*arguments, original=original, calls=calls, count=count, late=late, **options):
      is_last = next(calls) == count
      result = None if is_last and not late else original(*arguments, **options)
      if is_last:
        raise Stop
      return result

    with monkeypatch.context() as patch:
      patch.setattr(module, name, stopping)
      with pytest.raises(Stop):
        digests(tmp_path / str(place))
    assert digests(tmp_path / str(place)) == wanted, (name, count, late)
