"""Prompts of Asterisk: languages, voices, subsets and labels."""

import pytest
import sound_packages

from pretrainjax.errors import UserError
from pretrainjax.prepare.audio.sets.asterisk import Source


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
