"""What tables of many kinds say of sound files."""

import contextlib
import json
import sqlite3

import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.audio.columns import AudioFields
from pretrainjax.prepare.audio.example import Facts
from pretrainjax.prepare.audio.metadata import Metadata, read_metadata


@pytest.fixture
def read(tmp_path):
  """Returns `read(sounds, tables, **fields)`: Metadata of such files; tables are texts by name."""
  with contextlib.ExitStack() as stack:

    def read(sounds, tables, **fields) -> Metadata:
      database = stack.enter_context(contextlib.closing(sqlite3.connect("")))
      metadata = Metadata(database, tmp_path)
      for sound in sounds:
        metadata.add_sound(sound)
      metadata.index()
      for name, text in tables.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
      read_metadata(metadata, list(tables), fields=AudioFields(**fields))
      return metadata

    yield read


def wrong(metadata: Metadata) -> list[tuple[str, str]]:
  return [(item.key, item.reason) for item in metadata.wrong()]


def test_common_voice(read):
  head = "client_id\tpath\tsentence\tup_votes\tgender\n"
  metadata = read(
    [f"en/clips/cv_{i}.mp3" for i in range(5)],
    {
      "en/train.tsv": head + "ann\tcv_0.mp3\tThe first.\t2\tf\nbob\tcv_1.mp3\tThe second.\t2\t\n",
      "en/dev.tsv": head + "cleo\tcv_2.mp3\tA third.\t2\t\n",
      "en/validated.tsv": head + "ann\tcv_0.mp3\tThe first.\t2\tf\nann\tcv_3.mp3\tMore.\t2\t\n",
    },
    keep=("gender",),
  )
  found = metadata.facts_of("en/clips/cv_0.mp3")
  assert found == Facts(None, "The first.", "train", {"gender": "f", "speaker": "ann"})
  assert metadata.facts_of("en/clips/cv_1.mp3").strings == {"speaker": "bob"}
  assert metadata.facts_of("en/clips/cv_2.mp3").split == "validation"
  assert metadata.facts_of("en/clips/cv_3.mp3").split is None
  assert metadata.facts_of("en/clips/cv_4.mp3") is None
  assert metadata.has == {"text", "split", "speaker", "gender"} and not wrong(metadata)
  assert metadata.num_values("speaker") == 2 and metadata.num_values("gender") == 1
  assert "path=path, text=sentence, speaker=client_id, as in en/dev.tsv" in metadata.notes


def test_librispeech(read):
  metadata = read(
    ["84/121123/84-121123-0000.flac", "84/121123/84-121123-0001.flac"],
    {"84/121123/84-121123.trans.txt": "84-121123-0000 GO DO YOU\n84-121123-0002 NOWHERE\n"},
  )
  found = metadata.facts_of("84/121123/84-121123-0000.flac")
  assert found == Facts(None, "GO DO YOU", None, {"speaker": "84"})
  assert wrong(metadata) == [
    ("84/121123/84-121123.trans.txt:2", "names no sound file that is there")
  ]


def test_kaldi_and_its_commands_are_not_run(read):
  tables = {
    "data/train/wav.scp": "u1 /far/away/corpus/wav/a.wav\nu2 touch pwned |\n",
    "data/train/text": "u1 some words\nu2 others\n",
    "data/train/utt2spk": "u1 ann\nu2 bob\n",
  }
  nobody = read(["corpus/wav/a.wav"], tables | {"data/train/utt2spk": "u1\n"})
  assert nobody.facts_of("corpus/wav/a.wav").strings == {}
  metadata = read(["corpus/wav/a.wav"], tables)
  found = metadata.facts_of("corpus/wav/a.wav")
  assert found == Facts(None, "some words", "train", {"speaker": "ann"})
  assert [reason for _, reason in wrong(metadata)] == [
    "a command in place of a path, which is not run"
  ]
  with pytest.raises(UserError, match="segments are not read"):
    read(["a.wav"], tables | {"data/train/segments": "u1 a 0 1\n"})


def test_texts_beside_their_files(read):
  metadata = read(
    ["a/1.wav", "a/2.flac", "b/1.wav"],
    {"a/1.txt": "\ufeffOne\n  word\n", "a/2.lab": "two", "a/README.txt": "of no file"},
  )
  assert metadata.facts_of("a/1.wav").text == "One word"
  assert metadata.facts_of("a/2.flac").text == "two"
  assert metadata.facts_of("b/1.wav") is None


@pytest.mark.parametrize(
  ("name", "text"),
  [
    ("m.jsonl", '{"audio_filepath": "/else/x/1.wav", "text": "hello", "duration": 1.5}\n'),
    ("m.json", json.dumps([{"audio": "x/1.wav", "transcript": "hello"}])),
    ("m.csv", 'file,sentence\n"x/1.wav","hello"\n'),
    ("x/metadata.csv", "file_name,transcription\n1.wav,hello\n"),
    ("metadata.csv", "1|Hello.|hello\n2|No such.|no such\n"),  # LJSpeech's
    ("m.tsv", "name\tcaption\n1\thello\n"),
    ("m.csv", "file;sentence\nx\\1.wav;hello\n"),
  ],
)
def test_tables(read, name, text):
  assert read(["x/1.wav", "y/3.wav"], {name: text}).facts_of("x/1.wav").text == "hello"


def test_columns_that_are_named(read):
  table = {"m.csv": "a,b,c,d\nx.wav,ann,yes,dev-clean\nx.wav,bob,no,test\n"}
  metadata = read(["x.wav"], table, path="a", speaker="b", label="c", split="d")
  assert metadata.facts_of("x.wav") == Facts("yes", None, "validation", {"speaker": "ann"})
  assert wrong(metadata) == [("m.csv:2", "names a sound file that was named before")]
  with pytest.raises(UserError, match="fields.label: 'm.csv' has no 'z', but a, b, c, d"):
    read(["x.wav"], table, path="a", label="z")


def test_a_table_of_other_things_says_nothing(read):
  metadata = read(["x.wav"], {"prices.csv": "fruit,price\napple,3\n", "notes.json": "{}"})
  assert metadata.facts_of("x.wav") is None and not metadata.notes and not wrong(metadata)


def test_a_name_that_several_files_have_is_none(read):
  table = {"m.csv": "file,sentence\n1.wav,hello\nq/1.wav,there\n../../y/1.wav,up\n"}
  metadata = read(["x/1.wav", "y/1.wav", "q/1.wav"], table)
  assert metadata.facts_of("x/1.wav") is None
  assert metadata.facts_of("q/1.wav").text == "there"
  assert [key for key, _ in wrong(metadata)] == ["m.csv:1"]
