import dataclasses

import pytest
import whispers

from pretrainjax.checkpoint.encoder import load
from pretrainjax.errors import UserError
from pretrainjax.generation.whisper_tokens import WhisperTokens


@pytest.fixture(scope="module")
def english(tmp_path_factory):
  return load(f"hf:{whispers.make(tmp_path_factory.mktemp('english'))}")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
  return load(f"hf:{whispers.make(tmp_path_factory.mktemp('both'), is_multilingual=True)}")


def test_tokens_by_what_they_mean(english):
  tokens = WhisperTokens.of(english)
  assert (tokens.start_id, tokens.end_id, tokens.first_time) == (257, 256, whispers.FIRST_TIME)
  assert tokens.no_speech_id == 262 and not tokens.languages
  assert tokens.rules.suppressed == tuple(range(257, whispers.FIRST_TIME))
  assert 256 in tokens.rules.suppressed_first and len(tokens.rules.suppressed_first) == 2
  words = whispers.ids(" caf\u00e9")
  assert tokens.text([257, 270, *words, 256]) == " caf\u00e9"


def test_prompts(english, both):
  assert WhisperTokens.of(english).prompt("en", "transcribe") == (257,)
  tokens = WhisperTokens.of(both)
  assert tokens.languages == {"en": 258, "de": 259}
  assert tokens.prompt("de", "translate") == (257, 259, 260)


@pytest.mark.parametrize(
  "of, language, task, said",
  [
    ("english", "de", "transcribe", "--language: found de, but this model transcribes English"),
    ("english", None, "translate", "--task: found translate, but this model transcribes English"),
    ("both", "dee", "transcribe", "--language: found dee, expected one of 2 codes.*de"),
  ],
)
def test_what_a_model_does_not_have_is_refused(request, of, language, task, said):
  tokens = WhisperTokens.of(request.getfixturevalue(of))
  with pytest.raises(UserError, match=said):
    tokens.prompt(language, task)


def test_another_tokenizer_is_refused(english, tmp_path):
  folder = whispers.make(tmp_path / "other")
  path = folder / "tokenizer.json"
  path.write_text(path.read_text().replace("notimestamps", "nothing"))
  loaded = dataclasses.replace(english, workdir=folder)
  with pytest.raises(UserError, match=r"its tokenizer has no <\|notimestamps\|>"):
    WhisperTokens.of(loaded)
  path.unlink()
  with pytest.raises(UserError, match=r"has no tokenizer.json, expected a Whisper's"):
    WhisperTokens.of(loaded)
