"""Prompts of Asterisk: languages, voices, subsets and labels."""

import json

import pytest
import sound_packages

from pretrainjax.errors import UserError
from pretrainjax.prepare.audio.sets.asterisk import Source
from pretrainjax.prepare.contract import Unreadable


@pytest.fixture(scope="module")
def read(tmp_path_factory):
  """Returns `read(**options)`: the sounds of the source."""
  root = sound_packages.unpack(tmp_path_factory.mktemp("root"))

  def read(**options) -> list:
    with Source(source=str(root), **options).open(root) as corpus:
      return [sound for part in corpus.parts() for sound in part.records()]

  return read


def test_all_prompts_but_silence(read):
  found = read()
  assert len(found) == 5 * 5 and not any("silence" in sound.key for sound in found)
  assert found[0].key == "allison_en/digits/1.wav"
  assert dict(found[0].facts.strings) == {
    "language": "en",
    "speaker": "allison_en",
    "prompt": "digits/1",
  }
  assert all(len(sound.audio) == 3200 for sound in found)


def test_subsets_and_labels(read):
  words = read(languages=("en",), subset="words", label="prompt")
  assert [s.facts.label for s in words] == ["digits/1", "digits/2", "letters/a", "phonetic/a_p"]
  digits = read(subset="digits", label="language")
  assert [sound.facts.label for sound in digits] == [
    x for x in "en es fr it ru".split() for _ in "12"
  ]
  assert {s.facts.label for s in read(languages=("ru",), label="speaker")} == {"ivrvoice"}


def test_trained_on_one_voice_and_tested_on_the_other(read):
  options = {"languages": ("es", "fr", "it"), "voices": "both", "subset": "digits"}
  found = read(test_speakers=("menardi", "armelle", "es_co"), label="prompt", **options)
  splits = {sound.facts.strings["speaker"]: sound.facts.split for sound in found}
  assert splits == {
    "allison_es": "train",
    "june": "train",
    "carlo": "train",
    "es_co": "test",
    "armelle": "test",
    "menardi": "test",
  }
  assert "armelle/digits/1.gsm" in [sound.key for sound in found]


def test_voices_that_are_not_there(read):
  with pytest.raises(UserError, match="test_speakers: found menardi, expected some of .*carlo"):
    read(test_speakers=("menardi",))
  with pytest.raises(UserError, match="languages: found en, expected some of es, fr, it"):
    read(languages=("en",), voices="second")


def test_what_a_machine_wrote_down_is_marked_so(read, tmp_path):
  table = tmp_path / "said.jsonl"
  by = "machine: ct2:tiny"
  rows = [
    {"file_name": f"{name}.wav", "text": text, "transcriber": by, "language": "xx"}
    for name, text in (("hello", "Hello."), ("digits/1", "One."), ("digits/2", ""))
  ]
  table.write_text("".join(json.dumps(row) + "\n" for row in rows))
  found = read(languages=("en",), transcripts=str(table))
  assert [item.key for item in found if isinstance(item, Unreadable)] == [
    f"allison_en/{name}.wav" for name in ("digits/2", "letters/a", "phonetic/a_p")
  ]
  sounds = {item.key: item.facts for item in found if not isinstance(item, Unreadable)}
  assert {key: facts.text for key, facts in sounds.items()} == {
    "allison_en/digits/1.wav": "One.",
    "allison_en/hello.wav": "Hello.",
  }
  strings = sounds["allison_en/hello.wav"].strings
  assert strings["transcriber"] == by and strings["language"] == "en"


def test_tables_that_say_nothing_are_refused(read, tmp_path):
  table = tmp_path / "said.jsonl"
  with pytest.raises(UserError, match="transcripts: '.*said.jsonl' is no file"):
    read(languages=("en",), transcripts=str(table))
  table.write_text('{"file_name": "other.wav", "text": "x"}\n')
  with pytest.raises(UserError, match="has no transcript of any sound here, such as digits/1.wav"):
    read(languages=("en",), transcripts=str(table))
  with pytest.raises(UserError, match="found a table and 2 voices, expected one"):
    read(languages=("en", "ru"), transcripts=str(table))
