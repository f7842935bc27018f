"""The tokenizer of an exported encoder of texts, in the files that transformers reads."""

import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from pretrainjax.data.tokenizer import Tokenizer

_ROLES = {
  "pad_token": "[PAD]",
  "unk_token": "[UNK]",
  "cls_token": "[CLS]",
  "sep_token": "[SEP]",
  "mask_token": "[MASK]",
}


def write_tokenizer(
  folder: Path, tokenizer: Tokenizer | None, backbone: ConfigDict, *, kind: str
) -> bool:
  """Writes the files of a tokenizer; returns whether there is one.

  Args:
    folder: the folder, which is there.
    tokenizer: the tokenizer of a run on text; None for others.
    backbone: the recipe of the encoder.
    kind: the class of transformers that reads them.
  """
  if tokenizer is None:
    return False
  for file, content in tokenizer_files(tokenizer, backbone, kind=kind).items():
    (folder / file).write_text(content, encoding="utf-8")
  return True


def tokenizer_files(tokenizer: Tokenizer, backbone: ConfigDict, *, kind: str) -> dict[str, str]:
  """The content of each file by its name.

  Documents are wrapped by us, not by our tokenizer: theirs has to do it.

  Args:
    tokenizer: the tokenizer that the encoder was trained with.
    backbone: the recipe of the encoder.
    kind: the class of transformers.
  """
  facts = json.loads(tokenizer.text)
  spelt = _spelling(facts)
  ids = {role: tokenizer.special_id(ours) for role, ours in _ROLES.items()}
  names = {role: spelt[index] for role, index in ids.items() if index is not None}
  is_causal = kind.startswith("GPT2") or kind.endswith("ForCausalLM")
  if "cls_token" in names:
    names["bos_token"] = names["cls_token"]
  if "sep_token" in names:
    names["eos_token"] = names["sep_token"]
  if facts.get("post_processor") is None:
    begin = None if tokenizer.begin_id is None else (names["cls_token"], tokenizer.begin_id)
    end = None if tokenizer.end_id is None else (names["sep_token"], tokenizer.end_id)
    facts["post_processor"] = _template(begin, None if is_causal else end)
  types = ["token_type_ids"] if backbone.get("num_types", 1) > 1 else []
  fill_id = backbone.get("fill_id")
  if fill_id in spelt:  # what is read like all else, and has no mask
    names["pad_token"] = spelt[fill_id]
  config = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "model_max_length": backbone.max_length,
    "model_input_names": ["input_ids", *types, *(["attention_mask"] if fill_id is None else [])],
    "clean_up_tokenization_spaces": False,
    **names,
  }
  return {
    "tokenizer.json": json.dumps(facts, ensure_ascii=False),
    "tokenizer_config.json": json.dumps(config, indent=2, ensure_ascii=False) + "\n",
    "special_tokens_map.json": json.dumps(names, indent=2, ensure_ascii=False) + "\n",
  }


def _spelling(facts: dict[str, Any]) -> dict[int, str]:
  """The text of each token by its id."""
  vocabulary = facts["model"]["vocab"]
  if isinstance(vocabulary, dict):
    spelt = {index: token for token, index in vocabulary.items()}
  else:
    spelt = {index: pair[0] for index, pair in enumerate(vocabulary)}
  return spelt | {token["id"]: token["content"] for token in facts.get("added_tokens", ())}


def _template(begin: tuple[str, int] | None, end: tuple[str, int] | None) -> dict[str, Any]:
  """A post-processor that puts tokens before and behind a text, and behind its pair."""

  def special(token: tuple[str, int], kind: int) -> dict[str, Any]:
    return {"SpecialToken": {"id": token[0], "type_id": kind}}

  def text(name: str, kind: int) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": kind}}

  first = [special(begin, 0)] if begin else []
  first += [text("A", 0)]
  first += [special(end, 0)] if end else []
  second = [text("B", 1), *([special(end, 1)] if end else [])]
  tokens = {t[0]: {"id": t[0], "ids": [t[1]], "tokens": [t[0]]} for t in (begin, end) if t}
  return {
    "type": "TemplateProcessing",
    "single": first,
    "pair": first + second,
    "special_tokens": tokens,
  }
