"""What sentence-transformers says of an encoder of texts, in files beside those of transformers."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pretrainjax.convert.fields import Fields
from pretrainjax.errors import UserError
from pretrainjax.models.layers.embedding import Pool
from pretrainjax.untrusted import BadFile, read_json

_MODULES, _POOLING = "modules.json", "1_Pooling"
# As versions before 6 say it, a flag each, and as 6 does, in a word.
_FLAGS: dict[str, Pool] = {
  "pooling_mode_cls_token": "cls",
  "pooling_mode_mean_tokens": "mean",
  "pooling_mode_lasttoken": "last",
}
_WORDS: dict[str, Pool] = {"cls": "cls", "mean": "mean", "lasttoken": "last"}
# Modules that our encoders lack, and what that means.
_LEFT_OUT = {
  "Normalize": "features are not scaled to length 1, which cosines do not show",
  "Dropout": "it does something in training only",
}
_log = logging.getLogger(__name__)


def read_pooling(folder: Path, *, inside: Path, max_length: int | None = None) -> Pool | None:
  """How the tokens of a text become its feature; None for a folder of transformers alone.

  What else sentence-transformers does to texts and features, and our encoders do not, is told.

  Args:
    folder: the folder of config.json.
    inside: the folder that no link may lead out of.
    max_length: the most tokens that the encoder takes; None for any number.

  Raises:
    UserError: for a pooling that ours cannot do, or a module with parameters behind it.
  """
  place = _POOLING
  if os.path.lexists(folder / _MODULES):
    place = _place_of_pooling(folder, inside)
  elif not os.path.lexists(folder / _POOLING / "config.json"):
    return None
  for line in _differences(folder, inside, max_length):
    _log.warning("%s: %s", folder, line)
  return _pool(_fields(folder / place / "config.json", inside))


def _place_of_pooling(folder: Path, inside: Path) -> str:
  """The folder of the pooling, as the list of modules has it."""
  path = folder / _MODULES
  listed = read_json(path, inside=inside)
  if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
    raise BadFile(path, "is no list of modules")
  kinds = [str(one.get("type")).rpartition(".")[2] for one in listed]
  places = [one.get("path") for one in listed]
  if kinds[:2] != ["Transformer", "Pooling"] or places[0] != "" or not isinstance(places[1], str):
    found = ", ".join(kinds)
    raise UserError(
      f"{path}: found {found}, expected a Transformer in the folder itself, then a Pooling"
    )
  for kind in kinds[2:]:
    if kind not in _LEFT_OUT:
      raise UserError(
        f"{path}: found a {kind}, which our encoders do not have; without {_MODULES} the encoder "
        "is taken alone"
      )
    _log.warning("%s: %s is left out: %s", folder, kind, _LEFT_OUT[kind])
  return places[1]


def _pool(fields: Fields) -> Pool:
  found = fields.values.get("pooling_mode")
  if found is not None:
    word = found[0] if isinstance(found, list) and len(found) == 1 else found
    return Fields({"pooling_mode": word}, fields.path).choice("pooling_mode", _WORDS)
  modes = [name for name in fields.values if name.startswith("pooling_mode_")]
  modes = [name for name in modes if fields.flag(name, False)]
  if len(modes) != 1 or modes[0] not in _FLAGS:
    said = " and ".join(modes) or "none"
    raise UserError(f"{fields.path}: found {said} true, expected one of {', '.join(_FLAGS)}")
  return _FLAGS[modes[0]]


def _differences(folder: Path, inside: Path, max_length: int | None) -> Iterator[str]:
  """What the library does to texts before they are encoded, and ours does not."""
  facts: dict[str, Any] = {}
  for name in ("tokenizer_config", "sentence_bert_config", "config_sentence_transformers"):
    if os.path.lexists(folder / f"{name}.json"):
      facts |= _fields(folder / f"{name}.json", inside).values
  # Up to version 5, and since.
  length = facts.get("max_seq_length") or facts.get("model_max_length")
  if isinstance(length, int) and max_length is not None and length < max_length:
    yield f"texts are cut at {length} tokens there, and at {max_length} here"
  if prompt := facts.get("default_prompt_name"):
    yield f"the prompt '{prompt}' stands before texts there, and nothing here"


def _fields(path: Path, inside: Path) -> Fields:
  found = read_json(path, inside=inside)
  if not isinstance(found, dict):
    raise BadFile(path, "is no dictionary")
  return Fields(found, path)
