"""A Whisper of random values as transformers writes it, whose words are letters."""

import json

import pytest
import their_folders
import tokenizers

KIND = "WhisperForConditionalGeneration"
_BYTES = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
END, START = 256, 257
NAMES = (
  "<|endoftext|>",
  "<|startoftranscript|>",
  "<|en|>",
  "<|de|>",
  "<|translate|>",
  "<|transcribe|>",
  "<|nospeech|>",
  "<|notimestamps|>",
)
FIRST_TIME = END + len(NAMES)
LENGTH = 25  # tokens of a window of half a second
SIZES = their_folders.WHISPER | {
  "model_type": "whisper",
  "vocab_size": FIRST_TIME + LENGTH + 1,
  "max_source_positions": LENGTH,
  "max_target_positions": 24,
  "decoder_start_token_id": START,
  "eos_token_id": END,
  "pad_token_id": END,
}


def tokenizer_json() -> str:
  """One token a byte, and the special ones."""
  made = tokenizers.Tokenizer(tokenizers.models.BPE({b: i for i, b in enumerate(_BYTES)}, []))
  made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
  made.decoder = tokenizers.decoders.ByteLevel()
  made.add_special_tokens(list(NAMES))
  return made.to_str()


def make(folder, *, is_multilingual=False):
  """Writes the folder."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(their_folders.CONFIGS, KIND, SIZES)
    their_folders.make(folder, KIND, tensors=their_folders.tensors_of(KIND))
  (folder / "tokenizer.json").write_text(tokenizer_json())
  first = [END, _BYTES.index("\u0120")]
  told = {"is_multilingual": is_multilingual, "begin_suppress_tokens": first}
  (folder / "generation_config.json").write_text(json.dumps(told))
  return folder


def ids(text: str) -> list[int]:
  """The tokens of a text."""
  return tokenizers.Tokenizer.from_str(tokenizer_json()).encode(text).ids
