"""From a config to a dataset, or to the one that is there already."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from pretrainjax.errors import UserError
from pretrainjax.prepare.config import data_dir_of, job_of
from pretrainjax.prepare.contract import Source
from pretrainjax.prepare.job import Job, clear, write_dataset
from pretrainjax.prepare.stages.place import REPORT, folder_of, is_complete
from pretrainjax.untrusted import read_json
from pretrainjax.user_path import user_path


def prepare(config: ConfigDict, *, allow: tuple[str, ...] = ()) -> Path:
  """Writes the dataset that `config` names, unless it is there.

  Args:
    config: the config of a source, see `config.default_config`.
    allow: packages beside ours whose classes it may name; the binary says `ANYTHING`.

  Returns:
    The dataset's folder, complete.

  Raises:
    UserError: where there is nothing to read, or too much of it cannot be decoded; where something
      else lies there under the same name.
  """
  job, data_dir = job_of(config, allow=allow), data_dir_of(config)
  folder = folder_of(job.source.name, data_dir)
  if is_complete(folder):
    _refuse_other(folder, job)
    clear(folder)  # of a run that was killed at its very end
    return folder
  return write_dataset(job, data_dir=data_dir, source_facts=facts(job.source))


def facts(source: Source) -> dict[str, Any]:
  """What decides which examples are written; the same files may lie in another place."""
  # As JSON has them: what was written is compared with what is wanted.
  found = json.loads(json.dumps(dataclasses.asdict(source)))  # pyright: ignore[reportArgumentType]
  found.pop("source", None)
  return found | ({"root": str(user_path(found["root"]).resolve())} if "root" in found else {})


def _refuse_other(folder: Path, job: Job) -> None:
  """Raises UserError where what is there was made from something else under the same name."""
  path = folder / REPORT
  there = read_json(path, inside=folder) if path.is_file() else {}
  wanted = {"source": facts(job.source), "settings": job.preparation.settings()}
  for part, values in wanted.items():
    found, flat = _flat(there.get(part, {})), _flat(values)
    # What only one of them knows was added by a later version, or is a tokenizer's other form.
    for key, value in found.items():
      if flat.get(key, value) != value:
        raise UserError(
          f"--data_dir: {folder} was prepared with {key}={value!r}, found {flat[key]!r}; "
          "choose another name, or remove it to prepare it anew"
        )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  flat = {}
  for key, value in values.items():
    flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
  return flat
