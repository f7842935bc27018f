"""Questions of SQuAD's files and of records, and their answers' places once texts are cleaned."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.data.subset import Subset, rows_used
from pretrainjax.errors import UserError
from pretrainjax.prepare import job as jobs
from pretrainjax.prepare import report as reports
from pretrainjax.prepare.job import Job, write_dataset
from pretrainjax.prepare.stages import collect
from pretrainjax.prepare.stages.holdout import Holdout
from pretrainjax.prepare.text import collector, encode
from pretrainjax.prepare.text.cleaning import Cleaning
from pretrainjax.prepare.text.document import Answer, Document
from pretrainjax.prepare.text.fields import Fields
from pretrainjax.prepare.text.folder import Source
from pretrainjax.prepare.text.form import Form
from pretrainjax.prepare.text.questions import (
  NoAnswers,
  answers_of,
  flattened,
  is_answers,
  placed,
  whereabouts,
)
from pretrainjax.prepare.text.training import Tokenization

NORMANS = {"text": "the Normans", "answer_start": 4}
FLAT = {"id": "a", "question": "Who?", "answers": [NORMANS], "context": "And the Normans came."}


def article(**question) -> dict:
  asked = {name: FLAT[name] for name in ("id", "question", "answers")} | question
  return {"title": "T", "paragraphs": [{"context": FLAT["context"], "qas": [asked]}]}


def test_an_article_is_one_record_a_question():
  assert list(flattened([article(), {"x": 1}, "not JSON"])) == [FLAT, {"x": 1}, "not JSON"]
  assert list(flattened(article()["paragraphs"])) == [FLAT]


def test_what_is_impossible_has_no_answer_however_plausible():
  asked = article(is_impossible=True, plausible_answers=[NORMANS])
  assert list(flattened([asked])) == [FLAT | {"answers": []}]
  assert list(flattened([article(is_impossible=False)])) == [FLAT]


@pytest.mark.parametrize(
  "paragraph, reason",
  [
    ({"qas": []}, "paragraph without a context and questions"),
    ({"context": "c", "qas": 3}, "paragraph without a context and questions"),
    ({"context": "c", "qas": [3]}, "not a record of fields"),
  ],
)
def test_what_is_no_paragraph_is_told(paragraph, reason):
  assert list(flattened([{"paragraphs": [paragraph]}])) == [reason]


@pytest.mark.parametrize(
  "value, found",
  [
    ({"text": ["a", "b"], "answer_start": [0, 7]}, (Answer("a", 0), Answer("b", 7))),
    ({"text": [], "answer_start": []}, ()),
    ({"text": "a", "answer_start": 3.0}, (Answer("a", 3),)),
    ([NORMANS | {"answer_start": None}], (Answer("the Normans", -1),)),
    ([NORMANS], (Answer("the Normans", 4),)),
    ([], ()),
    ({"text": [""], "answer_start": [0]}, ()),
    ({"text": [b"\xc3\xa9"], "answer_start": [-1]}, (Answer("\u00e9", -1),)),
  ],
)
def test_answers_in_all_their_forms(value, found):
  assert is_answers(value) and answers_of(value) == found


@pytest.mark.parametrize(
  "value, reason",
  [
    ("Normans", "no answers, each with 'text' and 'answer_start'"),
    (["Normans"], "no answers, each with"),
    ({"text": ["a"]}, "no answers, each with"),
    ({"text": ["a"], "answer_start": []}, "another number of 'text' than of 'answer_start'"),
    ({"text": [3], "answer_start": [0]}, "an answer that is no text"),
    ({"text": ["a"], "answer_start": ["0"]}, "an answer whose start is no whole number"),
    ({"text": ["a"], "answer_start": [True]}, "an answer whose start is no whole number"),
    ({"text": ["a"], "answer_start": [float("nan")]}, "an answer whose start is no whole number"),
  ],
)
def test_what_is_no_answer_is_told(value, reason):
  with pytest.raises(NoAnswers, match=reason):
    answers_of(value)


def place(context: str, *answers: tuple[str, int]) -> Document:
  document = Document("k", " q\r\n", second=context, answers=tuple(Answer(*a) for a in answers))
  return placed(document, Cleaning().replaced)


@pytest.mark.parametrize("before", ["", "\n\ufeff  ", "cafe\u0301 ", "a\r\nb\x00c ", "\U0001f600 "])
@pytest.mark.parametrize("answer", ["Paris", " Paris\r\n", "Cafe\u0301", "a\x07b"])
def test_an_answer_keeps_its_place_whatever_is_cleaned_before_and_in_it(before, answer):
  found = place(f"{before}{answer} and so on \n", (answer, len(before)))
  (kept,) = found.answers
  assert kept.start >= 0 and kept.text == Cleaning().clean(answer)
  assert found.second[kept.start :].startswith(kept.text)
  assert (found.text, found.second) == ("q", Cleaning().clean(f"{before}{answer} and so on \n"))


def test_places_are_counted_in_code_points():
  found = place("\U0001f600\u00e9 Paris", ("Paris", 3))
  assert found.answers == (Answer("Paris", 3),)


@pytest.mark.parametrize("start", [0, 1, 99, -1, -5])
def test_an_answer_that_is_not_there_has_no_place(start):
  (found,) = place("To Paris", ("Paris", start)).answers
  assert found == Answer("Paris", -1)


def test_where_it_is_instead_is_told():
  context = "aXa, and XX"
  assert whereabouts(context, "a, and") == "once elsewhere"
  assert whereabouts(context, "X") == "several times elsewhere"
  assert whereabouts(context, "b") == "nowhere in the context"


# --- whole sets ---------------------------------------------------------------------------------


def squad(seed: int, num_contexts: int = 20) -> dict:
  """SQuAD 2.0's form: two questions a context and, of every third one, one without an answer."""
  rng, paragraphs = np.random.default_rng(seed), []
  for i in range(num_contexts):
    words = [f"w{n}" for n in rng.integers(0, 200, int(rng.integers(4, 30)))]
    place = int(rng.integers(len(words)))
    context = " ".join([*words[:place], f"Ann{i} of {seed}", *words[place:]])
    answer = {"text": f"Ann{i}", "answer_start": context.index(f"Ann{i}")}
    qas = [
      {"id": f"{seed}-{i}-{k}", "question": q, "answers": [answer], "is_impossible": False}
      for k, q in enumerate(("who is it?", "what is her name?"))
    ]
    if i % 3 == 0:
      qas.append(
        {
          "id": f"{seed}-{i}-n",
          "question": "and when?",
          "answers": [],
          "is_impossible": True,
          "plausible_answers": [answer],
        }
      )
    paragraphs.append({"context": context, "qas": qas})
  half = num_contexts // 2
  parts = {"A": paragraphs[:half], "B": paragraphs[half:]}
  return {"version": "v2.0", "data": [{"title": t, "paragraphs": p} for t, p in parts.items()]}


def flat(found: dict) -> list[dict]:
  """The same in Hugging Face's form."""
  records = []
  for record in flattened(found["data"]):
    answers = {key: [a[key] for a in record["answers"]] for key in ("text", "answer_start")}
    records.append(record | {"answers": answers, "title": "T"})
  return records


def write(root, data_dir, **changes):
  """Writes a set, by default in windows of 32 tokens."""
  source = {"fields": Fields(), "splits": "names"} | changes.pop("source", {})
  form = Form("auto", **({"window": 32, "stride": 8} | changes.pop("form", {})))
  preparation = dataclasses.replace(
    Source.preparation,
    form=form,
    tokenizer=Tokenization(vocab_size=300, num_sentinels=0),
    **changes,
  )
  made = Job(Source(root=str(root), name="some", **source), preparation, num_shards=1)
  return write_dataset(made, data_dir=data_dir, source_facts={"name": "some"})


def read(folder, split: str) -> list[dict]:
  return list(tfds.builder_from_directory(folder).as_data_source(split=split))


def report_of(folder) -> dict:
  return json.loads((folder / "prepared.json").read_text())


def digests(folder) -> dict[str, str]:
  return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """Folder of the raw files, and of the set that they make."""
  base = tmp_path_factory.mktemp("squad")
  root = base / "raw"
  root.mkdir()
  (root / "train-v2.0.json").write_text(json.dumps(squad(1)))
  (root / "dev-v2.0.json").write_text(json.dumps(squad(2, 7), indent=1))
  return root, write(root, base / "data")


def test_squads_own_files_keep_their_splits_and_every_question(whole):
  root, folder = whole
  report = report_of(folder)
  for split, file in (("train", "train-v2.0.json"), ("validation", "dev-v2.0.json")):
    wanted = list(flattened(json.loads((root / file).read_text())["data"]))
    rows = read(folder, split)
    keys = [row["question"].decode() for row in rows]
    assert len(set(keys)) == len(wanted) == report["splits"][split]["documents"]
    assert len(rows) == report["splits"][split]["examples"] > len(wanted)
    for row, key in zip(rows, keys, strict=True):
      asked = wanted[int(key.partition(":")[2]) - 1]
      assert [a.decode() for a in row["answers"]] == [a["text"] for a in asked["answers"]]
      assert row["context"].decode() in asked["context"]
      first, last = row["span"]
      if not asked["answers"]:
        assert first == last == -1
      elif first >= 0:
        offsets = row["offsets"].reshape(-1, 2)
        text = row["context"].decode()[offsets[first, 0] : offsets[last, 1]].strip()
        assert text == asked["answers"][0]["text"]
    answered = {k for row, k in zip(rows, keys, strict=True) if row["span"][0] >= 0}
    assert len(answered) == sum(bool(asked["answers"]) for asked in wanted)
  assert (report["questions"], report["unanswered"], report["unplaced"]) == (64, 10, 0)
  told = "\n".join(reports.lines(report, folder))
  assert "64, 10 without an answer; windows of 32 tokens, 8 apart" in told
  assert "text=question, second=context, answers=answers" in told


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_the_other_form_holds_the_same(whole, tmp_path, suffix):
  root, folder = whole
  (tmp_path / "raw").mkdir()
  for file in root.iterdir():
    records = flat(json.loads(file.read_text()))
    path = tmp_path / "raw" / f"{file.stem}.{suffix}"
    if suffix == "jsonl":
      path.write_text("".join(json.dumps(record) + "\n" for record in records))
    else:
      pyarrow = pytest.importorskip("pyarrow")
      pytest.importorskip("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(records), path)
  other = write(tmp_path / "raw", tmp_path / "data")
  for split in ("train", "validation"):
    pairs = zip(read(folder, split), read(other, split), strict=True)
    for row, same in pairs:
      for name in row.keys() - {"key", "question"}:
        np.testing.assert_array_equal(row[name], same[name], err_msg=name)


def test_other_names_of_fields(tmp_path):
  root = tmp_path / "raw.jsonl"
  names = {"question": "Frage", "context": "text", "answers": "Antworten"}
  records = [{names.get(k, k): v for k, v in record.items()} for record in flat(squad(1))]
  root.write_text("".join(json.dumps(record) + "\n" for record in records))
  fields = Fields(text="Frage", second="text", answers="Antworten")
  folder = write(root, tmp_path / "data", source={"fields": fields})
  assert report_of(folder)["questions"] == 47
  with pytest.raises(ValueError, match="second: found None, expected the field of the contexts"):
    Fields(answers="Antworten")
  with pytest.raises(ValueError, match="label=y: expected None beside answers"):
    Fields(second="text", answers="Antworten", label="y")


def test_questions_of_one_context_share_a_split_and_are_no_duplicates(tmp_path):
  root = tmp_path / "raw.json"
  root.write_text(json.dumps(squad(1, 40)))
  holdout = Holdout(test_fraction=0.3, validation_fraction=0.2)
  folder = write(root, tmp_path / "data", holdout=holdout)
  report = report_of(folder)
  assert report["questions"] == 94 and not report["dropped"]
  contexts = [{row["context_id"] for row in read(folder, s)} for s in report["splits"]]
  assert len(contexts) == 3 and sum(map(len, contexts)) == len(set.union(*contexts)) == 40


def test_answers_elsewhere_are_told_and_not_guessed(tmp_path, capsys):
  found, root = squad(1, 4), tmp_path / "raw.json"
  paragraphs = [p for article in found["data"] for p in article["paragraphs"]]
  for paragraph, change in zip(paragraphs, ("start", "text", "twice"), strict=False):
    (answer,) = paragraph["qas"][0]["answers"]
    paragraph["qas"][0]["answers"] = [answer | {"answer_start": answer["answer_start"] + 1}]
    if change == "text":
      paragraph["qas"][0]["answers"][0]["text"] = "Bert"
    if change == "twice":
      paragraph["context"] += f" {answer['text']}"
  root.write_text(json.dumps(found))
  folder = write(root, tmp_path / "data", holdout=Holdout(test_fraction=0.0))
  report = report_of(folder)
  assert report["misplaced"] == {
    "once elsewhere": 1,
    "nowhere in the context": 1,
    "several times elsewhere": 1,
  }
  assert report["misplaced_keys"]["once elsewhere"] == ["raw.json:1"]
  assert report["unplaced"] == 3 and report["questions"] == 10
  told = "\n".join(reports.lines(report, folder))
  assert "1 not where answer_start says, but once elsewhere: raw.json:1" in told
  assert "3 questions with no answer in its place: not trained on" in told
  rows = read(folder, "train")
  assert {r["question"] for r in rows if r["span"][0] == -2} == {
    r["question"] for r in rows if b"Bert" in r["answers"]
  } | {b"raw.json:1", b"raw.json:6"}


class Stop(Exception):
  """In place of a kill."""


@pytest.mark.parametrize(
  "module, name, count",
  [(collector, "cleaned", 30), (encode, "_append", 40), (encode, "_append", 150)],
)
def test_a_run_that_is_stopped_ends_with_the_same_bytes(
  whole, tmp_path, monkeypatch, module, name, count
):
  root, folder = whole
  monkeypatch.setattr(collect, "_EVERY", 7)
  monkeypatch.setattr(encode, "_AT_ONCE", 900)
  monkeypatch.setattr(encode, "_EVERY", 2)
  with monkeypatch.context() as patch:
    calls, real = iter(range(count)), getattr(module, name)

    def failing(*arguments):
      if next(calls, None) is None:
        raise Stop
      return real(*arguments)

    patch.setattr(module, name, failing)
    with pytest.raises(Stop):
      write(root, tmp_path)
  assert (tmp_path / "some" / jobs._WORK).is_dir()
  assert digests(write(root, tmp_path)) == digests(folder)


def test_what_is_held_out_of_training_leaves_no_window_behind(tmp_path):
  root = tmp_path / "raw.json"
  root.write_text(json.dumps(squad(1, 40)))
  folder = write(root, tmp_path / "data", holdout=Holdout(test_fraction=0.0))
  source = PreparedSplit.at(folder, split="train")
  ids = source.context_ids
  assert ids is not None and len(set(ids)) == 40
  rows = {part: rows_used(source, Subset(part), pieces=1) for part in ("fit", "held_out")}
  away, kept = set(ids[rows["held_out"]]), set(ids[rows["fit"]])
  assert len(away) == 2 and not away & kept
  assert sum(map(len, rows.values())) == len(source)


def test_unreadable_questions_are_counted(tmp_path):
  records = [*flat(squad(1)), {"question": "q", "context": "c", "answers": "no"}, {"question": "q"}]
  root = tmp_path / "raw.jsonl"
  root.write_text("".join(json.dumps(record) + "\n" for record in records))
  fields = {"fields": Fields(text="question", second="context", answers="answers")}
  with pytest.raises(UserError, match="2 of 49 records cannot be read"):
    write(root, tmp_path / "data", source=fields)
