"""The tokenizer of a run: a copy is kept in its folder, and other data must have the same one."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.untrusted import replace
from pretrainjax.workdir.claim import has_checkpoints

TOKENIZER = "tokenizer.json"


def tokenizer_of(data: Any) -> Tokenizer | None:
  """The tokenizer that prepared data was tokenized with; None for data without text."""
  return getattr(data, "tokenizer", None)


def keep_tokenizer(workdir: Path, data: Any, *, allow_change: bool) -> None:
  """Copies the data's tokenizer to WORKDIR/tokenizer.json, where there is one.

  Args:
    workdir: the run's folder, already claimed.
    data: the training data of the run.
    allow_change: whether to replace another tokenizer that is there.

  Raises:
    UserError: where checkpoints in the folder were trained with another tokenizer.
  """
  found, path = tokenizer_of(data), workdir / TOKENIZER
  if found is None:
    return
  if os.path.lexists(path) and has_checkpoints(workdir) and not allow_change:
    check_tokenizers({"data": data}, Tokenizer.load(path, inside=workdir))
  replace(path, found.text)


def data_of(evaluators: Mapping[str, Any]) -> dict[str, Any]:
  """The fields of evaluators by their keys in a config, among them the data that they read."""
  return {
    f"evals.{name}.{field.name}": getattr(evaluator, field.name)
    for name, evaluator in evaluators.items()
    if dataclasses.is_dataclass(evaluator)
    for field in dataclasses.fields(evaluator)
  }


def check_tokenizers(data: Mapping[str, Any], expected: Tokenizer) -> None:
  """Refuses data that was tokenized with another tokenizer than a network was trained with.

  Args:
    data: the data by its key in the config; data without text is passed over.
    expected: the tokenizer of the network, with the path of its file.

  Raises:
    UserError: naming both, and how to prepare the data with the right one.
  """
  path = Path(expected.path or TOKENIZER)
  how = ""
  if path.suffix == ".txt" or path.name == "vocab.json":  # which `prepare` does not read
    how = f"`python -m pretrainjax.export --workdir=hf:{path.parent} --out=NEW` converts it, then "
    path = Path("NEW") / TOKENIZER
  for key, one in data.items():
    found = tokenizer_of(one)
    if found is not None and found.fingerprint != expected.fingerprint:
      names = getattr(one, "datasets", "DATASET")
      raise UserError(
        f"--config.{key}.datasets: found tokenizer {found.fingerprint} ({found.path}), expected "
        f"{expected.fingerprint} ({expected.path or TOKENIZER}); prepare the data anew with that "
        f"one: {how}`python -m "
        f"pretrainjax.prepare {names if isinstance(names, str) else ' '.join(names)} "
        f"--config.tokenizer.path={path}`"
      )
