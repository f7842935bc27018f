"""Texts as people have them: what is held out, what is read of which file, and what is told."""

import gzip
import json

import binaries
import numpy as np
import pyarrow
import pytest
import tensorflow_datasets as tfds
from text_folders import documents, fill

from pretrainjax.data.tokenizer import Tokenizer

WORDS = "alpha beta gamma delta river stone paper green yellow market window forest".split()
EVALS = "--config.train.tracking.tensorboard=false"


def texts(count: int, *, seed: int = 0, words: int = 20) -> list[str]:
  rng = np.random.default_rng(seed)
  return [f"{' '.join(rng.choice(WORDS, words))} {i}." for i in range(count)]


def read(tmp_path, split: str, name: str = "x") -> list[dict]:
  """The examples of a split, their texts decoded."""
  folder = tmp_path / "data" / name / "1.0.0"
  tokenizer = Tokenizer.load(folder / "tokenizer.json")
  examples = list(tfds.builder_from_directory(folder).as_data_source(split=split))
  return [e | {k: tokenizer.decode(e[k]) for k in ("tokens", "second") if k in e} for e in examples]


# --- splits ----------------------------------------------------------------------------------


@pytest.mark.repeat
def test_late_eval_split_text(prepare, tmp_path, capsys):
  """The README's two commands for a folder of one's own."""
  root = fill(tmp_path / "in", {f"{i:02d}.txt": text for i, text in enumerate(texts(40, words=90))})
  ended, report = prepare(root)
  assert ended.status == 0 and set(report["splits"]) == {"train", "test", "validation"}
  assert sum(documents(report).values()) == 40
  ended = binaries.call(
    capsys,
    "pretrain",
    f"--config={binaries.ROOT}/configs/pretrain/text/gpt_sotu.py:smoke",
    "--datasets=x",
    f"--workdir={tmp_path / 'run'}",
    f"--data_dir={tmp_path / 'data'}",
    "--config.data.length=256",
    EVALS,
  )
  assert ended.status == 0, ended.errors[-1:]
  assert "loss" in (tmp_path / "run/metrics.jsonl").read_text()


@pytest.mark.parametrize("count", [3, 5, 20, 200])
def test_a_corpus_of_any_size_has_something_held_out(prepare, tmp_path, count):
  root = fill(tmp_path / "in", {"a.jsonl": [{"text": text} for text in texts(count)]})
  ended, report = prepare(root)
  found = documents(report)
  assert ended.status == 0 and min(found.values()) >= 1 and sum(found.values()) == count
  again = documents(prepare(root, "--config.form.whole=true", name="y")[1])
  assert again == found


def test_what_is_held_out_is_chosen_by_its_content(prepare, tmp_path):
  """Another order, and another place, hold the same out."""
  records = [{"text": text} for text in texts(30)]
  held_out = []
  for name, part in (("a", records), ("b", records[::-1])):
    fill(tmp_path / name, {f"{name}.jsonl": part})
    prepare(tmp_path / name, "--config.form.kind=examples", name=name)
    held_out.append({e["tokens"] for e in read(tmp_path, "validation", name)})
  assert held_out[0] == held_out[1] != set()


def test_a_single_file_is_cut_so_that_some_can_be_held_out(prepare, tmp_path):
  text = "\n\n".join(texts(60, words=30))
  ended, report = prepare(fill(tmp_path / "in", {"all.txt": text}) / "all.txt")
  assert ended.status == 0 and set(report["splits"]) == {"train", "test", "validation"}
  assert "cut into parts" in ended.out


RECORDS = {
  "train": [{"text": t} for t in texts(60)],
  "test": [{"text": t} for t in texts(20, seed=1)],
  "validation": [{"text": t} for t in texts(10, seed=2)],
}


@pytest.mark.parametrize(
  "names",
  [
    {"train.jsonl": "train", "test.jsonl": "test"},
    {"Train.jsonl": "train", "TEST.jsonl": "test", "Valid.jsonl": "validation"},
    {"imdb_train.jsonl": "train", "imdb_test.jsonl": "test", "imdb_dev.jsonl": "validation"},
    {"train-00000-of-00001.jsonl": "train", "test-00000-of-00001.jsonl": "test"},
    {"train/a.jsonl": "train", "valid/a.jsonl": "validation", "test/a.jsonl": "test"},
    {"data/Training/b.jsonl": "train", "data/Testing/b.jsonl": "test"},
    {"train/a.jsonl": "train", "test.jsonl": "test"},
    {"wiki.train.raw.jsonl": "train", "wiki.test.raw.jsonl": "test"},
  ],
  ids=lambda names: next(iter(names)),
)
def test_text_split_by_file(prepare, tmp_path, names):
  root = fill(tmp_path / "in", {name: RECORDS[split] for name, split in names.items()})
  ended, report = prepare(root, "--config.form.kind=examples")
  assert ended.status == 0 and "splits by the names of" in ended.out
  for split in names.values():
    assert [e["tokens"] for e in read(tmp_path, split)] == [r["text"] for r in RECORDS[split]]
  assert set(documents(report)) == set(names.values())


@pytest.mark.parametrize(
  "names",
  [
    ("train.jsonl", "test.jsonl", "notes.jsonl"),
    ("imdb.jsonl", "imdb_test.jsonl"),
    ("test/a.jsonl", "novels/a.jsonl"),
  ],
)
def test_splits_beside_what_is_of_none_are_refused(prepare, tmp_path, names):
  root = fill(tmp_path / "in", {name: RECORDS["train"] for name in names})
  ended, _ = prepare(root)
  assert ended.status == 2 and "expected all files or none to be of one" in ended.errors[-1]
  assert "--config.source.splits=none" in ended.errors[-1]
  assert prepare(root, "--config.source.splits=none")[0].status == 0


def test_a_title_is_no_split(prepare, tmp_path):
  books = {
    f"{name}.txt": t for name, t in zip(["The Last Train", "Dune", "V"], texts(3), strict=True)
  }
  ended, report = prepare(fill(tmp_path / "in", books))
  assert ended.status == 0 and sum(documents(report).values()) == 3 and "notes" not in report


def test_a_corpus_with_a_test_split_gets_a_validation_split_too(prepare, tmp_path):
  root = fill(tmp_path / "in", {"train.jsonl": RECORDS["train"], "test.jsonl": RECORDS["test"]})
  report = prepare(root)[1]
  found = documents(report)
  assert found["test"] == 20 and found["validation"] >= 1 and sum(found.values()) == 80


# --- given splits of examples -----------------------------------------------------------------


def labelled(rows: list[str]) -> list[dict]:
  return [{"text": text, "label": len(text) % 2} for text in rows]


def test_given_splits_of_examples_stay_whole_and_overlaps_are_told(prepare, tmp_path):
  train, test = texts(30), texts(12, seed=3)
  repeated = " ".join(["the same words"] * 40)
  files = {
    "train.jsonl": labelled([*train, *test[:5], train[0], "ok"]),
    "test.jsonl": labelled([*test, test[0], test[0], repeated, "ok"]),
  }
  flags = ("--config.source.fields.label=label", "--config.form.kind=examples")
  ended, report = prepare(fill(tmp_path / "in", files), *flags)
  assert documents(report) == {"train": 37, "test": 16} and report["dropped"] == {}
  assert report["overlaps"] == {"test twice": 2, "train and test": 6, "train twice": 1}
  assert "6 in train and test, word for word: train.jsonl:31" in ended.out
  assert "--config.duplicates.given=drop_train" in ended.out
  drop = "--config.duplicates.given=drop_train"
  report = prepare(tmp_path / "in", *flags, drop, name="dropped")[1]
  assert documents(report) == {"train": 31, "test": 16}
  assert report["dropped"] == {"stands in test, too": 6}
  report = prepare(tmp_path / "in", *flags, "--config.duplicates.given=drop", name="corpus")[1]
  assert documents(report)["test"] == 13  # as documents of a corpus


def test_a_corpus_is_cleaned_as_before(prepare, tmp_path):
  test = texts(12, seed=3)
  files = {
    "train.jsonl": [{"text": t} for t in [*texts(30), *test[:5]]],
    "test.jsonl": [{"text": t} for t in [*test, test[0]]],
  }
  report = prepare(fill(tmp_path / "in", files), "--config.holdout.validation_fraction=0")[1]
  assert documents(report) == {"train": 30, "test": 12} and report["dropped"]["duplicate"] == 6


# --- forms of text ------------------------------------------------------------------------------

TEXTS = texts(20)
CSV = "text,label\n" + "".join(
  f'"{t[:30]}, and ""more""\nof it {i}",{i % 2}\n' for i, t in enumerate(TEXTS)
)
PAIRS = [(a, b, i / 4) for i, (a, b) in enumerate(zip(TEXTS, texts(20, seed=5), strict=True))]
CONLL = "-DOCSTART- -X- -X- O\n\n" + "\n".join(
  "".join(f"{w} NN {'B-PER' if i % 3 == 0 else 'O'}\n" for i, w in enumerate(t.split()))
  for t in TEXTS
)
NESTED = [{"data": {"text": t}} for t in TEXTS]
CHAT = [
  {"messages": [{"role": "user", "content": t}, {"role": "assistant", "content": t[::-1]}]}
  for t in TEXTS
]
SHARED = [
  {"conversations": [{"from": "human", "value": t}, {"from": "gpt", "value": t[::-1]}]}
  for t in TEXTS
]
LINES = "".join(json.dumps({"text": t}) + "\n" for t in TEXTS).encode()


NLI = [{"premise": a, "hypothesis": b, "label": 1} for a, b, _ in PAIRS]
ODD = [{"a": {"b": t}, "c": 1} for t in TEXTS]


def rows_of(rows) -> str:
  return "".join("\t".join(map(str, row)) + "\n" for row in rows)


GLUE = rows_of([("sentence1", "sentence2", "score"), *((f'"{a}', b, s) for a, b, s in PAIRS)])


def zstd(data: bytes) -> bytes:
  sink = pyarrow.BufferOutputStream()
  with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
    stream.write(data)
  return sink.getvalue().to_pybytes()


FORMS = {
  "quoted.csv": (CSV, {"label"}, None),
  "semicolons.csv": ("a;text\n" + "".join(f"{i};{t}\n" for i, t in enumerate(TEXTS)), set(), None),
  "pandas.csv": (",text\n" + "".join(f"{i},{t}\n" for i, t in enumerate(TEXTS)), set(), None),
  "two.tsv": (rows_of((t, ["pos", "neg"][i % 2]) for i, t in enumerate(TEXTS)), {"label"}, None),
  "turned.tsv": (rows_of((i % 2, t) for i, t in enumerate(TEXTS)), {"label"}, None),
  "glue.tsv": (GLUE, {"second", "score"}, None),
  "pairs.csv": ("".join(f"{a},{b},{s}\n" for a, b, s in PAIRS), {"second", "score"}, None),
  "tags.conll": (CONLL, {"tags"}, None),
  "tags.txt": (CONLL, {"tags"}, None),
  "array.json": (json.dumps([{"text": t} for t in TEXTS], indent=2), set(), None),
  "one.json": (json.dumps({"version": 1, "data": NESTED}), set(), None),
  "lines.json": (LINES, set(), None),
  "a.jsonl.gz": (gzip.compress(LINES), set(), None),
  "a.jsonl.zst": (zstd(LINES), set(), None),
  "b.csv.gz": (gzip.compress(CSV.encode()), {"label"}, None),
  "nested.jsonl": (NESTED, set(), None),
  "told.jsonl": (ODD, set(), "--config.source.fields.text=a.b"),
  "list.jsonl": ([{"text": [t[:20], t[20:]]} for t in TEXTS], set(), None),
  "chat.jsonl": (CHAT, {"second"}, None),
  "sharegpt.json": (json.dumps(SHARED), {"second"}, None),
  "utf16.csv": (CSV.encode("utf-16"), {"label"}, None),
  "nli.jsonl": (NLI, {"second", "label"}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_formats_missing(prepare, tmp_path, name):
  content, has, flag = FORMS[name]
  root = fill(tmp_path / "in", {name: content})
  ended, report = prepare(root, *([flag] if flag else []))
  assert ended.status == 0, ended.errors[-1:]
  assert sum(documents(report).values()) == 20 and report["dropped"] == {}
  assert f"as in {name}" in ended.out
  kinds = {"label", "second", "score", "tags"}
  folder = tmp_path / "data/x/1.0.0"
  features = set(tfds.builder_from_directory(folder).info.features)
  assert features & kinds == has and report["form"] == ("examples" if has else "blocks")


def test_what_columns_hold_comes_through(prepare, tmp_path):
  flag = "--config.form.kind=examples"
  prepare(fill(tmp_path / "a", {"quoted.csv": CSV}), flag)
  found = read(tmp_path, "train")
  assert all(', and "more"\nof it ' in e["tokens"] for e in found) and len(found) == 18
  prepare(fill(tmp_path / "b", {"chat.jsonl": CHAT}), flag, name="chat")
  assert all(e["tokens"][::-1] == e["second"] for e in read(tmp_path, "train", "chat"))
  prepare(fill(tmp_path / "c", {"glue.tsv": FORMS["glue.tsv"][0]}), flag, name="glue")
  scores = {a: s for a, _, s in PAIRS}
  assert all(scores[e["tokens"][1:]] == e["score"] for e in read(tmp_path, "train", "glue"))
  root = fill(tmp_path / "d", {"a.conll": CONLL, "b.conll": CONLL.replace("river", "sea")})
  assert prepare(root, name="ner")[1]["tag_names"] == ["O", "B-PER"]


def test_a_field_that_is_not_there_is_told(prepare, tmp_path):
  root = fill(tmp_path / "in", {"a.csv": CSV})
  ended, _ = prepare(root, "--config.source.fields.label=labl")
  assert ended.status == 2 and "did you mean 'label'" in ended.errors[-1]
  ended, _ = prepare(fill(tmp_path / "b", {"a.jsonl": [{"z": t, "y": 1} for t in TEXTS]}))
  assert ended.status == 2 and "no field of 'a.jsonl' looks like a text" in ended.errors[-1]
  assert "z, y" in ended.errors[-1]


# --- encodings and counts -----------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("suffix", ["txt", "jsonl", "csv"])
def test_a_byte_order_mark_says_the_encoding(prepare, tmp_path, encoding, suffix):
  rows = [{"text": f"caf\u00e9 {t}"} for t in TEXTS]
  if suffix == "txt":
    files = {f"{i}.txt": row["text"].encode(encoding) for i, row in enumerate(rows)}
  elif suffix == "csv":
    files = {"a.csv": "".join(["text\n", *(f"{r['text']}\n" for r in rows)]).encode(encoding)}
  else:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    files = {"a.jsonl": lines.encode(encoding)}
  ended, _ = prepare(fill(tmp_path / "in", files), "--config.form.kind=examples")
  assert ended.status == 0, ended.errors[-1:]
  assert all(e["tokens"].startswith("caf\u00e9 ") for e in read(tmp_path, "train"))


@pytest.mark.parametrize(
  "encoding, key",
  [("utf-16-le", "utf-16-le"), ("utf-16-be", "utf-16-be"), ("latin-1", "names another")],
)
def test_utf16_bom_no_hint(prepare, tmp_path, encoding, key):
  files = {f"{i}.txt": f"caf\u00e9 {t}".encode(encoding) for i, t in enumerate(TEXTS)}
  root = fill(tmp_path / "in", files)
  ended, _ = prepare(root)
  assert ended.status == 2 and "--config.source.encoding" in ended.errors[-1]
  assert key in ended.errors[-1] and "dropped 20" in ended.errors[-1]
  assert prepare(root, f"--config.source.encoding={encoding}")[0].status == 0


@pytest.mark.parametrize("suffix", ["txt", "jsonl"])
def test_duplicates_not_told(prepare, tmp_path, suffix):
  text = texts(1)[0]
  files = {f"{i}.txt": text for i in range(20)}
  files = files if suffix == "txt" else {"a.jsonl": [{"text": text}] * 20}
  ended, _ = prepare(fill(tmp_path / "in", files))
  assert ended.status == 2 and "left out before: 19 duplicate" in ended.errors[-1]
  rest = {"b.jsonl": [{"text": t} for t in texts(19, seed=9)]}
  ended, report = prepare(fill(tmp_path / "in", rest), name="more")
  assert ended.status == 0 and report["dropped"] == {"duplicate": 19}
  assert f"19 duplicate ({19 / 39:.1%} of all)" in ended.out


def test_the_share_of_unknown_tokens_is_told(prepare, tmp_path):
  prepare(
    fill(tmp_path / "a", {"a.jsonl": [{"text": t} for t in TEXTS]}),
    "--config.tokenizer.kind=wordpiece",
    name="words",
  )
  rows = [{"text": f"{t} \u4f60\u597d \u0436\u0437"} for t in TEXTS]
  path = f"--config.tokenizer.path={tmp_path / 'data/words/1.0.0/tokenizer.json'}"
  ended, report = prepare(fill(tmp_path / "b", {"b.jsonl": rows}), path)
  assert sum(counts["unknown"] for counts in report["splits"].values()) == 20 * 3
  assert "tokens of train, " in ended.out and "cannot spell" in ended.out


# --- what is huge -------------------------------------------------------------------------------


def test_a_sparse_file_of_gigabytes_is_no_text(prepare, tmp_path):
  root = fill(tmp_path / "in", {"a.txt": texts(1)[0]})
  with open(root / "a.txt", "r+b") as file:
    file.truncate(10 << 30)
  ended, _ = prepare(root)
  assert ended.status == 2 and "zero bytes, no text (a.txt)" in ended.errors[-1]


@pytest.mark.repeat
def test_a_long_document_comes_in_pieces_and_the_bar_moves(prepare, tmp_path, monkeypatch):
  text = "\n".join(texts(60_000))
  places = []
  from pretrainjax.prepare.stages import collect

  class Bar(collect.tqdm):
    def update(self, n=1):
      places.append(self.n + n)
      return super().update(n)

  monkeypatch.setattr(collect, "tqdm", Bar)
  root = fill(tmp_path / "in", {"a.txt": text, "b.txt": texts(1)[0], "c.txt": texts(2)[1]})
  ended, report = prepare(
    root, "--config.duplicates.near=false", "--config.cleaning.repetition=false"
  )
  assert report["long_documents"] == 1 and "in pieces      1 documents of more than" in ended.out
  assert len([place for place in places if 0 < place < len(text)]) > 5
  assert sorted(places) == places and places[-1] == sum(p.stat().st_size for p in root.iterdir())
