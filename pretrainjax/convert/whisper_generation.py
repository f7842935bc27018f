"""What the files beside a Whisper say of how it writes: transformers' and CTranslate2's."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pretrainjax.untrusted import BadFile, read_json

# The later file goes first; each has the names of its library.
_FILES = ("generation_config.json", "config.json")
_SUPPRESSED = ("suppress_tokens", "suppress_ids")
_SUPPRESSED_FIRST = ("begin_suppress_tokens", "suppress_ids_begin")
_MOST = 100_000


class GenerationConfig(NamedTuple):
  """How a Whisper is to write.

  Attributes:
    suppressed: tokens that are never written.
    suppressed_first: tokens that a text does not begin with.
    is_multilingual: whether it writes in several languages; None where no file says so.
  """

  suppressed: tuple[int, ...] = ()
  suppressed_first: tuple[int, ...] = ()
  is_multilingual: bool | None = None


def read_generation_config(folder: Path, *, inside: Path) -> GenerationConfig:
  """Reads what generation_config.json says, and else config.json.

  Args:
    folder: the folder of both; either may be missing.
    inside: the folder that no link may lead out of.

  Raises:
    BadFile: for what is no such file.
  """
  files = {}
  for name in _FILES:
    if os.path.lexists(folder / name):
      files[folder / name] = read_json(folder / name, inside=inside)
  if wrong := next((path for path, found in files.items() if not isinstance(found, dict)), None):
    raise BadFile(wrong, "is no dictionary")
  told = [found.get("is_multilingual") for found in files.values()]
  return GenerationConfig(
    _tokens(files, _SUPPRESSED),
    _tokens(files, _SUPPRESSED_FIRST),
    next((one for one in told if isinstance(one, bool)), None),
  )


def _tokens(files: Mapping[Path, Mapping[str, Any]], names: tuple[str, ...]) -> tuple[int, ...]:
  for path, facts in files.items():
    for name in names:
      found = facts.get(name)
      if found is None:
        continue
      plain = isinstance(found, list) and len(found) <= _MOST
      if not plain or any(type(one) is not int or one < -1 for one in found):
        raise BadFile(path, f"{name}: expected a list of tokens")
      return tuple(one for one in found if one >= 0)
  return ()
