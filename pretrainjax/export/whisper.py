"""What transformers needs beside a Whisper's weights to write texts: tokens, and rules for them."""

from pathlib import Path
from typing import Any

from pretrainjax.export.write import write_json
from pretrainjax.generation.time_tokens import LATEST_BEGIN
from pretrainjax.generation.whisper_tokens import WhisperTokens
from pretrainjax.untrusted import read_json


def write_whisper_texts(folder: Path, tokens: WhisperTokens) -> None:
  """Writes the tokenizer, and how it is written with: generation_config.json.

  Args:
    folder: the folder, with the weights and what else `write_transformers` writes.
    tokens: the tokens of the Whisper, by what they mean.
  """
  (folder / "tokenizer.json").write_text(tokens.tokenizer.text, encoding="utf-8")
  end = tokens.tokenizer.piece(tokens.end_id)
  special = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), end)
  config = {"tokenizer_class": "WhisperTokenizer", "clean_up_tokenization_spaces": False}
  write_json(folder / "tokenizer_config.json", config | special)
  path = folder / "generation_config.json"
  known = read_json(path, inside=folder)
  known.pop("_from_model_config", None)  # else transformers makes another one of config.json
  write_json(path, known | generation_config(tokens))


def generation_config(tokens: WhisperTokens) -> dict[str, Any]:
  """The entries of generation_config.json that a Whisper's tokens decide.

  Args:
    tokens: the tokens of the Whisper, by what they mean.
  """
  found: dict[str, Any] = {
    "is_multilingual": bool(tokens.languages),
    "no_timestamps_token_id": tokens.first_time - 1,
    "suppress_tokens": list(tokens.rules.suppressed),
    "begin_suppress_tokens": list(tokens.rules.suppressed_first),
    "max_initial_timestamp_index": LATEST_BEGIN,
    "return_timestamps": False,
  }
  if tokens.languages:
    found["lang_to_id"] = {f"<|{code}|>": token for code, token in tokens.languages.items()}
    found["task_to_id"] = dict(tokens.tasks)
  return found
