"""A dataset of text is the same however often its making was stopped, and whole or not there."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.prepare import job as jobs
from pretrainjax.prepare.job import Job, write_dataset
from pretrainjax.prepare.stages import collect, shards
from pretrainjax.prepare.stages.holdout import Holdout
from pretrainjax.prepare.text import collector, encode, fill, formats, preparation
from pretrainjax.prepare.text.cleaning import Cleaning
from pretrainjax.prepare.text.duplicates import Duplicates
from pretrainjax.prepare.text.fields import Fields
from pretrainjax.prepare.text.folder import Source
from pretrainjax.prepare.text.form import NOT_SCORED, Form
from pretrainjax.prepare.text.preparation import TextPreparation
from pretrainjax.prepare.text.text_tally import TextTally
from pretrainjax.prepare.text.training import Tokenization


def sentences(count: int) -> list[str]:
  rng = np.random.default_rng(0)
  return [" ".join(f"w{i}" for i in rng.integers(0, 300, 12)) + "." for _ in range(count)]


def lines(root: Path, records: list) -> Path:
  root.mkdir(parents=True, exist_ok=True)
  text = "".join(r if isinstance(r, str) else json.dumps(r) + "\n" for r in records)
  (root / "a.jsonl").write_text(text)
  return root


def job(root: Path, **changes) -> Job:
  """A job whose parts are changed by name: fields of Source, or whole parts."""
  fields = {f.name for f in dataclasses.fields(Source)}
  source = Source(
    **({"root": str(root), "name": "some"} | {k: changes.pop(k) for k in fields & {*changes}})
  )
  preparation = TextPreparation(
    cleaning=changes.pop("cleaning", Cleaning()),
    duplicates=changes.pop("duplicates", Duplicates()),
    holdout=changes.pop("holdout", Holdout(test_fraction=0.2)),
    tokenizer=changes.pop("tokenizer", Tokenization(vocab_size=400, num_sentinels=3)),
    form=changes.pop("form", Form(length=16)),
  )
  return Job(source, preparation, **changes)


def write(made: Job, data_dir: Path) -> Path:
  return write_dataset(made, data_dir=data_dir, source_facts={"name": "some"})


def read(folder: Path, split: str) -> list[dict]:
  return list(tfds.builder_from_directory(folder).as_data_source(split=split))


def report_of(folder: Path) -> dict:
  return json.loads((folder / "prepared.json").read_text())


def digests(folder: Path) -> dict[str, str]:
  return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def test_blocks_hold_every_token_of_every_document(tmp_path):
  texts = sentences(60)
  folder = write(job(lines(tmp_path / "r", [{"text": t} for t in texts])), tmp_path)
  tokenizer, report = Tokenizer.load(folder / "tokenizer.json"), report_of(folder)
  assert (report["form"], report["length"]) == ("blocks", 16)
  assert (report["vocab_size"], report["tokenizer"]) == (
    tokenizer.vocab_size,
    tokenizer.fingerprint,
  )
  found = []
  for split, counts in report["splits"].items():
    rows = read(folder, split)
    assert all(r["tokens"].shape == (16,) and r["tokens"].dtype == np.uint16 for r in rows)
    stream = np.concatenate([r["tokens"][r["segments"] > 0] for r in rows])
    documents = np.split(stream, np.flatnonzero(stream == tokenizer.begin_id)[1:])
    decoded = [tokenizer.decode(d) for d in documents]
    found += decoded
    assert counts == {
      "examples": len(rows),
      "documents": len(decoded),
      "tokens": sum(map(len, tokenizer.encode_batch(decoded))),
      "unknown": 0,
      "bytes": sum(map(len, decoded)),
    }
  assert sorted(found) == sorted(texts)
  assert not (tmp_path / "some" / jobs._WORK).exists()


def test_examples_hold_what_belongs_to_them(tmp_path):
  records = [
    {"text": t, "answer": t[:9], "kind": i % 3 + 8, "score": i / 4}
    for i, t in enumerate(sentences(30))
  ]
  fields = Fields(second="answer", label="kind", score="score")
  made = job(lines(tmp_path / "r", records), fields=fields, form=Form("examples"))
  folder = write(made, tmp_path)
  tokenizer = Tokenizer.load(folder / "tokenizer.json")
  names = tfds.builder_from_directory(folder).info.features["label"].names
  assert names == ["8", "9", "10"]
  for example in read(folder, "train") + read(folder, "test"):
    record = records[int(example["key"].decode().split(":")[1]) - 1]
    assert tokenizer.decode(example["tokens"]) == record["text"]
    assert tokenizer.decode(example["second"]) == record["answer"].strip()
    assert names[example["label"]] == str(record["kind"])
    assert example["score"] == np.float32(record["score"])


@pytest.mark.parametrize("kind, size", [("bpe", 400), ("wordpiece", 80), ("unigram", 80)])
def test_tags_stand_at_the_first_token_of_their_word(tmp_path, kind, size):
  words = [["The", "caf\u00e9,", "", "New\u00a0York"], ["Ab", "c", "\x00", "d!"]]
  tags = [["O", "B-X", "O", "I-X"], ["O", "B-Y", "O", "O"]]
  records = [{"text": w, "tags": t} for w, t in zip(words, tags, strict=True)]
  made = job(
    lines(tmp_path / "r", records),
    fields=Fields(tags="tags"),
    form=Form("examples"),
    holdout=Holdout(test_fraction=0.0),
    tokenizer=Tokenization(kind=kind, vocab_size=size, num_sentinels=0),
  )
  folder = write(made, tmp_path)
  tokenizer, names = Tokenizer.load(folder / "tokenizer.json"), report_of(folder)["tag_names"]
  assert names == ["O", "B-X", "B-Y", "I-X"]
  wanted = [
    [("The", "O"), ("caf\u00e9,", "B-X"), ("NewYork", "I-X")],
    [("Ab", "O"), ("c", "B-Y"), ("d!", "O")],
  ]
  for example, pairs in zip(read(folder, "train"), wanted, strict=True):
    assert example["tags"].shape == example["tokens"].shape
    starts = np.flatnonzero(example["tags"] != NOT_SCORED)
    assert starts[0] == 0
    assert [names[tag] for tag in example["tags"][starts]] == [tag for _, tag in pairs]
    parts = np.split(example["tokens"], starts[1:])
    if kind == "bpe":
      assert [tokenizer.decode(p).strip() for p in parts] == [word for word, _ in pairs]


def test_sentences_are_examples_and_share_their_documents_split(tmp_path):
  root = tmp_path / "r"
  root.mkdir()
  texts = sentences(40)
  for i in range(20):
    (root / f"{i:02d}.txt").write_text(f"Yes, {texts[i]} And {texts[20 + i]}")
  folder = write(job(root, form=Form("examples", unit="sentence")), tmp_path)
  keys = {split: {e["key"].decode() for e in read(folder, split)} for split in ("train", "test")}
  files = {split: {key.partition("#")[0] for key in found} for split, found in keys.items()}
  assert sum(map(len, keys.values())) == 40 and not files["train"] & files["test"]


def test_no_document_of_a_held_out_split_is_nearly_in_train(tmp_path):
  rng = np.random.default_rng(0)
  texts = [" ".join(f"w{i}" for i in rng.integers(0, 3000, 200)) for _ in range(30)]
  copies = [f"{text} and more" for text in texts]
  for order in (texts + copies + texts, copies[::-1] + texts):
    root = lines(tmp_path / f"r{len(order)}", [{"text": t} for t in order])
    folder = write(job(root, name=f"some{len(order)}"), tmp_path)
    report = report_of(folder)
    assert sum(c["documents"] for c in report["splits"].values()) == 30
    assert report["dropped"].get("near duplicate") == 30
  # Given splits: the training documents go, those held out stay.
  root = tmp_path / "r"
  for split, part in (("train", texts), ("test", copies[:10])):
    lines(root / split, [{"text": t} for t in part])
  splits = report_of(write(job(root, name="given"), tmp_path))["splits"]
  assert splits["train"]["documents"] == 20 and splits["test"]["documents"] == 10


class Stop(Exception):
  """Stands for the end of the process."""


def stop_at(monkeypatch, module, name: str, count: int, *, late: bool) -> None:
  """Lets a function fail at its `count`-th call, before or after what it does."""
  original, calls = getattr(module, name), iter(range(10**6))

  def failing(*arguments, **options):
    last = next(calls) == count
    if last and not late:
      raise Stop
    result = original(*arguments, **options)
    if last:
      raise Stop
    return result

  monkeypatch.setattr(module, name, failing)


# Where a run is stopped: what fails, at which of its calls, and whether after it did its work.
EVERYWHERE = [
  (collector, "cleaned", 0, False),
  (collector, "cleaned", 20, False),
  (collector, "cleaned", 88, True),
  (TextTally, "keep_document", 40, True),
  (preparation, "make_tokenizer", 0, True),
  (encode._Writer, "_counted", 25, True),
  (encode._Writer, "_count", 50, False),
  (encode._Writer, "last_records", 1, False),
  (shards, "ArrayRecordWriter", 1, True),
  (shards, "ArrayRecordWriter", 4, False),
  (jobs, "write_metadata", 0, True),
  (TextPreparation, "_report", 0, True),
  (jobs.os, "rename", 0, False),
  (jobs.os, "rename", 0, True),
]
WHILE_ENCODING = [point for point in EVERYWHERE if point[0] is encode._Writer]


@pytest.mark.parametrize(
  "form, points",
  [
    pytest.param(Form(length=16), EVERYWHERE, marks=pytest.mark.repeat),
    (Form(length=16, whole=True), WHILE_ENCODING),
    (Form("examples"), WHILE_ENCODING),
  ],
)
def test_a_run_that_is_stopped_anywhere_ends_with_the_same_bytes(
  tmp_path, monkeypatch, form, points
):
  monkeypatch.setattr(collect, "_EVERY", 7)
  monkeypatch.setattr(encode, "_AT_ONCE", 300)
  monkeypatch.setattr(encode, "_EVERY", 3)
  texts = sentences(80)
  records = [{"text": t} for t in [*texts, *texts[:9]]] + ["nonsense\n"]
  made = job(lines(tmp_path / "r", records), form=form, num_shards=3, max_dropped=0.5)
  wanted = digests(write(made, tmp_path / "once"))
  for place, (module, name, count, late) in enumerate(points):
    data_dir = tmp_path / str(place)
    with monkeypatch.context() as patch:
      stop_at(patch, module, name, count, late=late)
      with pytest.raises(Stop):
        write(made, data_dir)
    assert (data_dir / "some" / "1.0.0").exists() == (name == "rename" and late)
    assert digests(write(made, data_dir)) == wanted, (name, count, late)


@pytest.mark.parametrize(
  "module, name, count",
  [(fill, "_fill", 0), (fill, "documents_file", 4), (fill, "_place", 9), (encode, "_append", 3)],
)
def test_a_run_stopped_while_empty_splits_are_filled(tmp_path, monkeypatch, module, name, count):
  few = Holdout(test_fraction=0.001, validation_fraction=0.001)
  made = job(lines(tmp_path / "r", [{"text": t} for t in sentences(12)]), holdout=few)
  wanted = digests(write(made, tmp_path / "once"))
  for late in (False, True):
    with monkeypatch.context() as patch:
      stop_at(patch, module, name, count, late=late)
      with pytest.raises(Stop):
        write(made, tmp_path / str(late))
    assert digests(write(made, tmp_path / str(late))) == wanted


def test_a_run_stopped_again_and_again_gets_there(tmp_path, monkeypatch):
  monkeypatch.setattr(collect, "_EVERY", 5)
  made = job(lines(tmp_path / "r", [{"text": t} for t in sentences(60)]))
  wanted = digests(write(made, tmp_path / "once"))
  for _ in range(50):
    with monkeypatch.context() as patch:
      stop_at(patch, collector, "cleaned", 9, late=False)
      try:
        folder = write(made, tmp_path / "often")
        break
      except Stop:
        pass
  assert digests(folder) == wanted


def test_a_work_folder_of_another_job_or_of_other_files_is_begun_anew(
  tmp_path, monkeypatch, caplog
):
  root = lines(tmp_path / "r", [{"text": t} for t in sentences(40)])
  for change in ("settings", "files"):
    data_dir = tmp_path / change
    with monkeypatch.context() as patch:
      stop_at(patch, jobs, "write_metadata", 0, late=False)
      with pytest.raises(Stop):
        write(job(root), data_dir)
    if change == "files":
      lines(root, [{"text": t} for t in sentences(50)])
    length = 32 if change == "settings" else 16
    folder = write(job(root, form=Form(length=length)), data_dir)
    assert "beginning anew" in caplog.text and report_of(folder)["length"] == length
    caplog.clear()


def test_other_forms_of_trouble_take_one_line(tmp_path):
  root = lines(tmp_path / "r", [{"text": t} for t in sentences(9)] + ["x\n", '{"txt": 1}\n'])
  with pytest.raises(UserError, match=r"2 of 11 records cannot be read, expected at most 1.0%"):
    write(job(root), tmp_path / "a")
  assert write(job(root, max_dropped=0.2), tmp_path / "a").is_dir()  # it goes on
  (tmp_path / "r2").mkdir()
  (tmp_path / "r2" / "a.txt").write_text("One text of some words.")
  with pytest.raises(
    UserError, match="of 1 documents none falls into '.*--config.source.documents"
  ):
    write(job(tmp_path / "r2"), tmp_path / "b")
  (tmp_path / "r2" / "a.txt").write_text(" \n")
  with pytest.raises(UserError, match=r"holds no document; dropped 1 empty \(a.txt\)"):
    write(job(tmp_path / "r2"), tmp_path / "b")
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="cannot write '.*file/some/1.0.0'"):
    write(job(root), tmp_path / "file")
  pairs = lines(tmp_path / "r3", [{"text": t, "b": "x"} for t in sentences(9)])
  made = job(pairs, fields=Fields(second="b"), form=Form("examples", unit="line"))
  with pytest.raises(UserError, match="--config.form.unit: pairs cannot be cut"):
    write(made, tmp_path / "c")


def test_a_tokenizer_of_another_dataset(tmp_path):
  root = lines(tmp_path / "r", [{"text": t} for t in sentences(40)])
  first = write(job(root, name="first"), tmp_path)
  tokenizer = Tokenization(path=str(first / "tokenizer.json"))
  second = write(job(root, name="second", tokenizer=tokenizer), tmp_path)
  assert report_of(second)["tokenizer"] == report_of(first)["tokenizer"]
  assert report_of(second)["settings"]["tokenizer"] == {
    "trained": False,
    "fingerprint": report_of(first)["tokenizer"],
  }


def test_a_long_document_is_no_trouble(tmp_path, monkeypatch):
  monkeypatch.setattr(formats, "PIECE", 1 << 16)
  root = tmp_path / "r"
  root.mkdir()
  (root / "long.txt").write_text("x" * 150_000 + " end")
  (root / "line.jsonl").write_text(json.dumps({"text": "many words " * 20_000}) + "\n")
  rules = {"cleaning": Cleaning(repetition=False), "holdout": Holdout(test_fraction=0.0)}
  report = report_of(write(job(root, **rules), tmp_path))
  assert report["splits"]["train"]["documents"] == 1 + 2  # two equal pieces are one


PROGRAM = """
import sys
from prepare.text.test_preparation import *
write(job(Path(sys.argv[1]) / "r"), Path(sys.argv[1]))
read(Path(sys.argv[1]) / "some" / "1.0.0", "train")
print(sorted(m for m in sys.modules if m.split(".")[0] in ("tensorflow", "torch")))
"""


def test_tensorflow_is_never_imported(tmp_path):
  root = Path(__file__).parents[3]
  lines(tmp_path / "r", [{"text": t} for t in sentences(40)])
  environment = os.environ | {"PYTHONPATH": f"{root}:{root / 'tests'}"}
  command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
  ended = subprocess.run(command, env=environment, capture_output=True, text=True)
  assert ended.stdout.strip() == "[]", ended.stderr
