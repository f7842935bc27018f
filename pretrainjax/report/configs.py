"""Shipped configs for a person to read: a list, one with its values, a table of Markdown."""

import textwrap
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from ml_collections import ConfigDict

from pretrainjax.config.allowed import ANYTHING
from pretrainjax.config.follow import following
from pretrainjax.config.shipped import (
  PACKAGE,
  about,
  docstring,
  file_and_form,
  locate,
  shipped_folder,
  shipped_names,
  short_name,
)
from pretrainjax.config.text import value_lines
from pretrainjax.errors import UserError, nearest

_WIDTH = 100
# In the order in which one uses them.
_VERBS = ("pretrain", "finetune", "evaluate")


def config_list(words: Sequence[str] = ()) -> str:
  """Lists the shipped configs by verb, each with its name and its docstring's first line.

  Args:
    words: only configs whose name or line holds all of them, in upper or lower case.

  Raises:
    UserError: where there is none.
  """
  names = shipped_names()
  lines = {name: docstring(shipped_folder() / f"{name}.py").partition("\n")[0] for name in names}
  texts = {name: f"{name} {line}".lower() for name, line in lines.items()}
  found = [n for n in _in_order(names) if all(word.lower() in texts[n] for word in words)]
  if not found:
    sought, choices = " ".join(words), [short_name(name, names) for name in names]
    raise UserError(f"no config has the words '{sought}'{nearest(sought, choices)}")
  width = max(len(short_name(name, names)) for name in found)
  blocks = []
  for verb, group in groupby(found, key=_verb):
    blocks.append(verb)
    for name in group:
      start = f"  {short_name(name, names).ljust(width)}  "
      blocks.append(_wrap(lines[name], start))
  return "\n".join(blocks)


def config_page(reference: str, config: ConfigDict, defaults: ConfigDict) -> str:
  """Shows a config: docstring, file, and all values; "*" marks what overrides changed.

  Args:
    reference: the config as the user names it, `NAME[:arg]` or `FILE[:arg]`.
    config: the config with the user's overrides.
    defaults: the config without them.
  """
  file, arg = file_and_form(reference)
  path = locate(file)
  form = f", form '{arg}'" if arg else ""
  lines = _with_sources(value_lines(config, defaults), config)
  return "\n".join([docstring(Path(path)), "", f"{path}{form}:", *lines])


def config_markdown() -> str:
  """Lists all shipped configs as Markdown: one table a verb, from the docstrings."""
  names = shipped_names()
  parts = []
  for verb, group in groupby(_in_order(names), key=_verb):
    parts += [f"## {verb}", "", "| config | what it is | minutes | expected |", "|---|---|---|---|"]
    for name in group:
      told = about(shipped_folder() / f"{name}.py")
      cells = (f"`{PACKAGE}/{name}.py`", told.summary, told.minutes, told.expected)
      parts.append(f"| {' | '.join(cells)} |")
    parts.append("")
  return "\n".join(parts)


def _with_sources(lines: Sequence[str], config: ConfigDict) -> list[str]:
  """Lines of values, where those that are left open say what they follow."""
  places = {
    f" {argument.key} = None": " or ".join(dict.fromkeys(s.place for s in argument.sources))
    for argument in following(config, allow=ANYTHING)
    if argument.is_open
  }
  starts = [line[1:].partition("  (was")[0] for line in lines]
  return [
    f"{line}  (follows {places[start]})" if start in places else line
    for line, start in zip(lines, starts, strict=True)
  ]


def _verb(name: str) -> str:
  return name.partition("/")[0]


def _in_order(names: Sequence[str]) -> list[str]:
  """Sorted by verb, in the order of use; folders that are no verb come last."""
  return sorted(names, key=lambda name: (*[_verb(name) != verb for verb in _VERBS], name))


def _wrap(text: str, start: str) -> str:
  return textwrap.fill(
    text,
    _WIDTH,
    initial_indent=start,
    subsequent_indent=" " * len(start),
    break_long_words=False,
    break_on_hyphens=False,
  )
