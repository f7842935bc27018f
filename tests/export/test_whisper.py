import json

import pytest
import whispers

from pretrainjax.checkpoint.encoder import load
from pretrainjax.export.command import main
from pretrainjax.generation.whisper_tokens import WhisperTokens


@pytest.mark.parametrize("is_multilingual", [False, True])
def test_an_exported_whisper_keeps_its_tokens_and_their_rules(tmp_path, is_multilingual):
  source = whispers.make(tmp_path / "theirs", is_multilingual=is_multilingual)
  assert not main([f"--workdir=hf:{source}", f"--out={tmp_path / 'ours'}"])
  before, after = (WhisperTokens.of(load(f"hf:{tmp_path / name}")) for name in ("theirs", "ours"))
  assert after.tokenizer.fingerprint == before.tokenizer.fingerprint
  for name in ("start_id", "end_id", "first_time", "no_speech_id", "languages", "tasks", "rules"):
    assert getattr(after, name) == getattr(before, name), name
  told = json.loads((tmp_path / "ours" / "generation_config.json").read_text())
  assert told["no_timestamps_token_id"] == whispers.FIRST_TIME - 1
  assert told["decoder_start_token_id"] == whispers.START
  assert ("lang_to_id" in told) == is_multilingual
  spelt = json.loads((tmp_path / "ours" / "tokenizer_config.json").read_text())
  assert spelt["eos_token"] == "<|endoftext|>"
