"""Prepares a dataset: `python -m pretrainjax.prepare fashion_mnist --data_dir=DIR`.

Writes a tfds dataset of array_record files, and prepared.json beside it: what was written, what was
dropped and why, and which images stand in more than one split. A folder of images:
`python -m pretrainjax.prepare image_folder --source=FOLDER --name=pets --data_dir=DIR`.
"""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict, config_dict

from pretrainjax.command import Request, launch
from pretrainjax.config import build, spec
from pretrainjax.data.builders.base import CollectedBuilder
from pretrainjax.data.builders.collected import (
  Collected,
  Duplicate,
  count_reasons,
  duplicates_between_splits,
  without_train_duplicates,
)
from pretrainjax.data.builders.digits.digits_dataset_builder import Builder as DigitsBuilder
from pretrainjax.data.builders.digits.source import Source as Digits
from pretrainjax.data.builders.fashion_mnist.fashion_mnist_dataset_builder import (
  Builder as FashionMnistBuilder,
)
from pretrainjax.data.builders.fashion_mnist.source import Source as FashionMnist
from pretrainjax.data.builders.image_folder.source import Source as ImageFolder
from pretrainjax.data.builders.write import REPORT, folder_of, is_complete, write
from pretrainjax.errors import UserError, nearest

_SHOWN = 5
_SOURCES = {
  "fashion_mnist": lambda: spec(FashionMnist),
  "digits": lambda: spec(Digits),
  "image_folder": lambda: spec(ImageFolder, root="", name="images"),
}

_BUILDERS = {"fashion_mnist": FashionMnistBuilder, "digits": DigitsBuilder}


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the binary; returns its exit status."""
  return launch(
    _work,
    verb="prepare",
    description="Write a dataset in the form that training reads.",
    argv=argv,
    add_flags=_add_flags,
    make_config=_make_config,
    needs_workdir=False,
  )


def default_config(name: str) -> ConfigDict:
  """The config of one of our builders.

  Raises:
    UserError: for a name that is none.
  """
  if name not in _SOURCES:
    raise UserError(f"prepare: no builder '{name}'{nearest(name, _SOURCES)}")
  config = ConfigDict(sort_keys=False)
  config.source = _SOURCES[name]()
  config.data_dir = config_dict.placeholder(str)
  config.num_shards = config_dict.placeholder(int)  # tfds chooses by size
  config.max_dropped = 0.01
  config.drop_duplicates = False
  return config


def _add_flags(parser: argparse.ArgumentParser) -> None:
  parser.add_argument("dataset", nargs="?", help=f"one of {', '.join(_SOURCES)}")
  parser.add_argument("--source", metavar="FOLDER", help="where the raw files lie")
  parser.add_argument("--name", help="of the dataset made from image_folder")
  parser.add_argument(
    "--fallback",
    choices=["digits"],
    help="prepare this one instead where the first is not to be had",
  )


def _make_config(flags: argparse.Namespace) -> ConfigDict | None:
  if flags.dataset is None:
    return None
  config = default_config(flags.dataset)
  for value, keys in ((flags.source, ("source", "root")), (flags.name, ("name",))):
    key = next((k for k in keys if k in config.source), None)
    if value is not None and key is None:
      raise UserError(f"prepare: '{flags.dataset}' takes no --{keys[0]}")
    if value is not None:
      config.source[key] = value
  return config


def _work(request: Request) -> None:
  try:
    prepare(request.config)
  except UserError as error:
    if request.options.fallback is None:
      raise
    print(f"prepare: {error}")
    print(f"prepare: FALLING BACK to {request.options.fallback}, a much smaller and easier set")
    config = default_config(request.options.fallback)
    config.data_dir = request.config.data_dir
    prepare(config)


def prepare(config: ConfigDict) -> Path:
  """Writes the dataset that `config` names.

  Args:
    config: see `default_config`.

  Returns:
    The dataset's folder, complete: tfds writes elsewhere and renames.

  Raises:
    UserError: where there is nothing to read, or too much of it cannot be decoded.
  """
  source = build(config.source, path="config.source")
  data_dir = Path(config.data_dir or os.environ.get("PRETRAINJAX_DATA", "data"))
  folder = folder_of(source.name, data_dir)
  if is_complete(folder):
    _refuse_other_source(folder, source)
    print(f"prepare: {folder} is there already; remove it to prepare it anew")
    return folder
  collected = source.collect()
  _check_dropped(collected, config.max_dropped)
  duplicates = duplicates_between_splits(collected.splits)
  if config.drop_duplicates:
    collected = without_train_duplicates(collected, duplicates)
  report = {"source": _facts(source)} | _report(collected, duplicates)
  write(
    _builder(source.name),
    collected,
    data_dir=data_dir,
    num_shards=config.num_shards,
    report=report,
  )
  _show(report, folder)
  return folder


def _facts(source: Any) -> dict[str, Any]:
  """What decides which examples are written; the same files may lie in another place."""
  facts = dataclasses.asdict(source)
  facts.pop("source", None)
  return facts | ({"root": str(Path(facts["root"]).resolve())} if "root" in facts else {})


def _refuse_other_source(folder: Path, source: Any) -> None:
  """Raises UserError where what is there was made from something else under the same name."""
  path = folder / REPORT
  if not path.is_file():
    return
  there, wanted = json.loads(path.read_text()).get("source", {}), _facts(source)
  for key, value in there.items():
    if wanted.get(key, value) != value:
      raise UserError(
        f"--data_dir: {folder} was prepared with {key}={value!r}, found {wanted[key]!r}; "
        "choose another name, or remove it to prepare it anew"
      )


def _builder(dataset: str) -> type[CollectedBuilder]:
  """Our builder of that name, or one that a folder's images go into."""
  if dataset in _BUILDERS:
    return _BUILDERS[dataset]

  class Prepared(CollectedBuilder, skip_registration=True):
    name = dataset

  return Prepared


def _check_dropped(collected: Collected, max_dropped: float) -> None:
  total = collected.unreadable + sum(map(len, collected.splits.values()))
  if collected.unreadable > max_dropped * total:
    shown = ", ".join(f"{d.key} ({d.reason})" for d in collected.dropped[:_SHOWN])
    raise UserError(
      f"{collected.origin}: {collected.unreadable} of {total} images cannot be decoded, expected "
      f"at most {max_dropped:.1%} (--config.max_dropped): {shown}"
    )


def _report(collected: Collected, duplicates: list[Duplicate]) -> dict:
  return {
    "origin": collected.origin,
    "written": {name: len(entries) for name, entries in collected.splits.items()},
    "classes": len(collected.class_names),
    "dropped": count_reasons(collected.dropped),
    "dropped_files": [list(d) for d in collected.dropped],
    "duplicates_between_splits": [list(d) for d in duplicates],
    "duplicates_are_equal_in": "decoded pixels",
  }


def _show(report: dict, folder: Path) -> None:
  written = ", ".join(f"{name} {count:,}" for name, count in report["written"].items())
  print(f"written        {written}; {report['classes']} classes")
  print(f"from           {report['origin']}")
  for reason, count in report["dropped"].items():
    files = [key for key, why in report["dropped_files"] if why == reason]
    print(f"dropped        {count:,} {reason}: {', '.join(files[:_SHOWN])}")
  twice = report["duplicates_between_splits"]
  shown = "; ".join(f"{d[0]} {d[1]} = {d[2]} {d[3]}" for d in twice[:_SHOWN])
  print(f"in two splits  {len(twice):,} by decoded pixels{': ' + shown if twice else ''}")
  print(f"dataset        {folder}, report in {REPORT}")


if __name__ == "__main__":
  sys.exit(main())
