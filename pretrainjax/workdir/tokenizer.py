"""The tokenizer that a run is bound to: a copy lies in its folder, and other data must share it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.workdir.claim import has_checkpoints

TOKENIZER = "tokenizer.json"


def tokenizer_of(data: Any) -> Tokenizer | None:
  """What some data, once it is there, was tokenized with; None where it is no text."""
  return getattr(data, "tokenizer", None)


def keep_tokenizer(workdir: Path, data: Any, *, allow_change: bool) -> None:
  """Copies the data's tokenizer to WORKDIR/tokenizer.json, where there is one.

  Args:
    workdir: a run's folder, already claimed.
    data: of training.
    allow_change: replace another one that is there.

  Raises:
    UserError: where checkpoints lie there that another one was made for.
  """
  found, path = tokenizer_of(data), workdir / TOKENIZER
  if found is None:
    return
  if path.is_file() and has_checkpoints(workdir) and not allow_change:
    check_tokenizers({"data": data}, Tokenizer.load(path), path=path)
  temporary = path.with_suffix(".tmp")
  temporary.write_text(found.text, encoding="utf-8")
  temporary.replace(path)


def data_of(evaluators: Mapping[str, Any]) -> dict[str, Any]:
  """What evaluators read, by its key in a config: all their fields, data or not."""
  return {
    f"evals.{name}.{field.name}": getattr(evaluator, field.name)
    for name, evaluator in evaluators.items()
    if dataclasses.is_dataclass(evaluator)
    for field in dataclasses.fields(evaluator)
  }


def check_tokenizers(data: Mapping[str, Any], expected: Tokenizer, *, path: Path) -> None:
  """Refuses data that was tokenized with another tokenizer than a network's.

  Args:
    data: by the config's key; what is no text is passed over.
    expected: the network's.
    path: where it lies.

  Raises:
    UserError: naming both, and how to prepare the data with the right one.
  """
  for key, one in data.items():
    found = tokenizer_of(one)
    if found is not None and found.fingerprint != expected.fingerprint:
      names = getattr(one, "datasets", "DATASET")
      raise UserError(
        f"--config.{key}.datasets: found tokenizer {found.fingerprint} ({found.path}), expected "
        f"{expected.fingerprint} ({path}); prepare the data anew with that one: `python -m "
        f"pretrainjax.prepare {names if isinstance(names, str) else ' '.join(names)} "
        f"--config.tokenizer.path={path}`"
      )
