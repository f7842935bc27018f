"""The examples that an evaluator found worst: a file of all of them, a few for the screen."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pretrainjax.untrusted import replace

_SHOWN = 3
_WIDTH = 100


def write_worst(path: Path, worst: Sequence[Mapping[str, Any]]) -> None:
  """Writes a JSON object a line, worst first.

  Args:
    path: the file, which is replaced.
    worst: the examples, see `evaluators.base.Outcome`.
  """
  replace(path, "".join(json.dumps(dict(one), ensure_ascii=False) + "\n" for one in worst))


def worst_text(name: str, worst: Sequence[Mapping[str, Any]]) -> str:
  """The first few as text, each cut to a line a value.

  Args:
    name: the name of the evaluator.
    worst: the examples, worst first.

  >>> print(worst_text("word_errors", [{"errors": 2, "reference": "a cat", "hypothesis": "at"}]))
  word_errors, the worst of 1:
    errors      2
    reference   a cat
    hypothesis  at
  """
  lines = [f"{name}, the worst of {len(worst)}:"]
  for number, one in enumerate(worst[:_SHOWN]):
    wide = max(map(len, one)) + 2
    lines += [""] if number else []
    for key, value in one.items():
      text = textwrap.shorten(str(value), _WIDTH - wide - 2, placeholder=" ...")
      lines.append(f"  {key.ljust(wide)}{text}".rstrip())
  return "\n".join(lines)
