"""Folders of sound, as people have them."""

import json

import numpy as np
import pytest
import tiny_sounds
from tiny_sounds import tone, write_wav

from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.errors import UserError
from pretrainjax.prepare.__main__ import main
from pretrainjax.prepare.audio.folder import Source, why_no_sound
from pretrainjax.prepare.audio.look import Look
from pretrainjax.prepare.audio.told import lines
from pretrainjax.prepare.job import Job, write_dataset


@pytest.fixture
def write(tmp_path):
  """Returns `write(**options)`: prepares tmp_path/raw, and returns the report."""

  def write(**options) -> dict:
    source = Source(root=str(tmp_path / "raw"), **({"name": "tones"} | options))
    job = Job(source, source.preparation, max_dropped=1.0)
    folder = write_dataset(job, data_dir=tmp_path / "data", source_facts={})
    return json.loads((folder / "prepared.json").read_text())

  return write


def test_folders_are_classes_and_splits(tmp_path, write):
  raw = tmp_path / "raw"
  for number, place in enumerate(("train/yes/a", "train/no/a", "test/yes/a", "test/no/b")):
    write_wav(raw / f"{place}.wav", tone(number))
  found = write()
  assert found["written"] == {"train": 2, "test": 2} and found["classes"] == 2
  assert PreparedSplit("tones", "train", tmp_path / "data").class_names == ("no", "yes")
  assert tiny_sounds.keys("tones", "test", tmp_path / "data") == ["test/no/b.wav", "test/yes/a.wav"]


def test_transcripts_make_folders_no_classes_and_speakers_stay_together(tmp_path, write):
  raw = tmp_path / "raw"
  rows = ["path\tsentence\tclient_id"]
  for i in range(20):
    write_wav(raw / f"clips/{i:02d}.wav", tone(i, 0.1))
    rows.append(f"{i:02d}.wav\tNumber {i}\tspeaker{i % 4}")
  write_wav(raw / "clips/99.wav", tone(30, 0.1))
  (raw / "all.tsv").write_text("\n".join(rows) + "\n")
  found = write(test_fraction=0.25)
  assert found["classes"] == 0 and found["split_by"] == "speaker"
  assert found["written"] == {"train": 15, "test": 5}
  assert found["dropped"] == {"without a transcript": 1}
  speakers = tiny_sounds.text_of("tones", "speaker", "test", tmp_path / "data")
  assert len(set(speakers.values())) == 1
  assert found["notes"] == ["path=path, text=sentence, speaker=client_id, as in all.tsv"]


def test_transcripts_of_a_machine_stay_marked(tmp_path, write):
  raw, by = tmp_path / "raw", "machine: ct2:tiny"
  rows = []
  for i in range(6):
    write_wav(raw / f"{i}.wav", tone(i, 0.1))
    row = {"file_name": f"{i}.wav", "text": f"Number {i}", "duration": 0.1}
    rows.append(json.dumps(row | ({"transcriber": by} if i else {})))
  (raw / "said.jsonl").write_text("\n".join(rows) + "\n")
  found = write(test_fraction=0.2)
  assert found["transcribers"] == {by: 5}
  assert "written by     machine: ct2:tiny (5 transcripts)" in list(lines(found))
  data = tmp_path / "data"
  stored = {}
  for split in ("train", "test"):
    stored |= tiny_sounds.text_of("tones", "transcriber", split, data)
  assert stored == {f"{i}.wav": by if i else "" for i in range(6)}


def test_files_beside_named_splits_are_in_none(tmp_path, write):
  raw = tmp_path / "raw"
  for i in range(3):
    write_wav(raw / f"{i}.wav", tone(i))
  (raw / "train.csv").write_text("file,text\n0.wav,one\n")
  (raw / "test.csv").write_text("file,text\n1.wav,two\n")
  (raw / "other.csv").write_text("file,text\n2.wav,three\n")
  found = write()
  assert found["written"] == {"train": 1, "test": 1}
  assert found["dropped"] == {"in no split, as others are": 1}


def test_split_by_a_folder(tmp_path, write):
  for i in range(12):
    write_wav(tmp_path / f"raw/{'abc'[i % 3]}/{i}.wav", tone(i))
  assert write(split_by="folder", labels="none", test_fraction=0.3)["written"] == {
    "train": 8,
    "test": 4,
  }
  folders = {key[0] for key in tiny_sounds.keys("tones", "test", tmp_path / "data")}
  assert len(folders) == 1


def test_what_is_dropped_is_counted_and_named(tmp_path, write):
  raw = tmp_path / "raw"
  write_wav(raw / "good.wav", tone(0, 1))
  write_wav(raw / "named_like_nothing", tone(1), format="FLAC")
  whole = write_wav(raw / "cut.wav", tone(2)).read_bytes()
  (raw / "cut.wav").write_bytes(whole[:2000])
  (raw / "empty.mp3").write_bytes(b"")
  (raw / "notes.md").write_text("of something else")
  (raw / "phone.m4a").write_bytes(b"\0\0\0 ftypM4A \0\0\0\0")
  write_wav(raw / "silent.wav", np.zeros(3200, np.float32))
  write_wav(raw / "nan.wav", np.full(3200, np.nan, np.float32), subtype="FLOAT")
  write_wav(raw / "short.wav", tone(3, 0.01))
  write_wav(raw / "clipped.wav", 9 * tone(3), subtype="PCM_16")
  found = write(test_fraction=0.0, look=Look(max_clipped=0.1))
  assert dict(found["dropped_files"]) == {
    "clipped.wav": "clipped",
    "cut.wav": "cut short",
    "empty.mp3": "not decodable",
    "nan.wav": "not finite",
    "notes.md": "no sound by its name",
    "phone.m4a": "format that is not read: M4A",
    "short.wav": "too short",
    "silent.wav": "constant",
  }
  assert tiny_sounds.keys("tones", "train", tmp_path / "data") == ["good.wav", "named_like_nothing"]


def test_the_command_and_its_report(tmp_path, capsys):
  for i in range(20):
    write_wav(tmp_path / f"raw/{i}.wav", tone(i))
    (tmp_path / f"raw/{i}.txt").write_text(f"Number {'abcde'[i % 5]}.")
  flags = [f"--source={tmp_path / 'raw'}", "--name=tones", f"--data_dir={tmp_path / 'data'}"]
  assert main(["audio_folder", *flags]) == 0
  out = capsys.readouterr().out
  assert "train          18 sounds, 0.1 minutes" in out
  assert "transcripts    160 tokens, at most 8 each, of 15; rule 'words'" in out
  assert "held out       --config.source.test_fraction=0.1 of all sounds" in out
  assert "in two splits  0 by samples" in out
  assert main(["audio", *flags]) == 0  # there already
  assert main(["audio", *flags, "--config.source.split_by=nobody", "--name=other"]) == 2
  assert "holds no sound; dropped 20 without 'nobody'" in capsys.readouterr().err


def test_folders_that_are_none(tmp_path, capsys):
  (tmp_path / "notes.txt").write_text("no sound")
  flags = ["--name=tones", f"--data_dir={tmp_path / 'data'}"]
  for folder, message in ((tmp_path, "holds no sound file"), (tmp_path / "x", "is no folder")):
    assert main(["audio_folder", f"--source={folder}", *flags]) == 2
    assert message in capsys.readouterr().err
  with pytest.raises(ValueError, match="fields.keep: found 'audio'"):
    Source(root=str(tmp_path), fields=type(Source.fields)(keep=("audio",)))


def test_links_out_of_the_folder_are_passed_over(tmp_path, write):
  write_wav(tmp_path / "raw/a.wav", tone(0))
  (tmp_path / "raw/b.wav").symlink_to(write_wav(tmp_path / "secret.wav", tone(1)))
  assert write(test_fraction=0.0)["dropped"] == {"link out of the folder": 1}
  assert why_no_sound(tmp_path / "raw/a.wav") is None


def test_a_missing_library_is_one_line(tmp_path, monkeypatch):
  def missing():
    raise UserError("sound needs soundfile and soxr; pip install 'pretrainjax[audio]'")

  monkeypatch.setattr("pretrainjax.prepare.audio.folder.needs_audio", missing)
  with pytest.raises(UserError, match="pip install"), Source(root=str(tmp_path)).open(tmp_path):
    pass
