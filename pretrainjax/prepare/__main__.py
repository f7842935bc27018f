"""Prepares a dataset: `python -m pretrainjax.prepare fashion_mnist --data_dir=DIR`.

Writes a tfds dataset of array_record files, and prepared.json beside it: what was written, what was
dropped and why. A folder of images, or of .txt, .jsonl and .parquet:
`python -m pretrainjax.prepare image_folder --source=FOLDER --name=pets --data_dir=DIR`,
`python -m pretrainjax.prepare text --source=FOLDER --name=books --data_dir=DIR`.
"""

import argparse
import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict, config_dict

from pretrainjax.command import Request, launch
from pretrainjax.config.objects import build, spec
from pretrainjax.ending import as_process
from pretrainjax.errors import UserError, nearest
from pretrainjax.prepare.image.builders import CollectedBuilder, DigitsBuilder, FashionMnistBuilder
from pretrainjax.prepare.image.collected import (
  Collected,
  Duplicate,
  count_reasons,
  duplicates_between_splits,
  without_train_duplicates,
)
from pretrainjax.prepare.image.folder import Source as ImageFolder
from pretrainjax.prepare.image.sets.digits import Source as Digits
from pretrainjax.prepare.image.sets.fashion_mnist import Source as FashionMnist
from pretrainjax.prepare.stages.holdout import Holdout
from pretrainjax.prepare.stages.write import REPORT, folder_of, is_complete, write
from pretrainjax.prepare.text.cleaning import Cleaning
from pretrainjax.prepare.text.collect import Rules
from pretrainjax.prepare.text.duplicates import Duplicates
from pretrainjax.prepare.text.fields import Fields
from pretrainjax.prepare.text.folder import Source as Text
from pretrainjax.prepare.text.form import Form
from pretrainjax.prepare.text.sets.sotu import Source as Sotu
from pretrainjax.prepare.text.sets.spam_assassin import Source as SpamAssassin
from pretrainjax.prepare.text.sets.wordnet import Source as WordNet
from pretrainjax.prepare.text.stages import Job, write_dataset
from pretrainjax.prepare.text.training import Tokenization

_SHOWN = 5
_SOURCES = {
  "fashion_mnist": lambda: spec(FashionMnist),
  "digits": lambda: spec(Digits),
  "image_folder": lambda: spec(ImageFolder, root="", name="images"),
}

# Sources of text, with what suits each of them.
_EXAMPLES = {"form": {"kind": "examples"}, "cleaning": {"repetition": False}}
_TEXTS = {
  "text": (lambda: spec(Text, root="", name="text", fields=spec(Fields)), {}),
  "sotu": (
    lambda: spec(Sotu),
    {"holdout": {"test_fraction": 0.1, "validation_fraction": 0.05}, "form": {"length": 256}},
  ),
  "spam_assassin": (lambda: spec(SpamAssassin), _EXAMPLES),
  "wordnet": (lambda: spec(WordNet), _EXAMPLES),
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
  if name not in _SOURCES and name not in _TEXTS:
    raise UserError(f"prepare: no builder '{name}'{nearest(name, [*_SOURCES, *_TEXTS])}")
  config = ConfigDict(sort_keys=False)
  config.source = _TEXTS[name][0]() if name in _TEXTS else _SOURCES[name]()
  config.data_dir = config_dict.placeholder(str)
  config.num_shards = config_dict.placeholder(int)  # chosen by size
  config.max_dropped = 0.01
  if name not in _TEXTS:
    config.drop_duplicates = False
    return config
  changes = _TEXTS[name][1]
  config.cleaning = spec(Cleaning, **changes.get("cleaning", {}))
  config.duplicates = spec(Duplicates)
  config.holdout = spec(Holdout, **changes.get("holdout", {}))
  config.tokenizer = spec(Tokenization)
  config.form = spec(Form, **changes.get("form", {}))
  return config


def _add_flags(parser: argparse.ArgumentParser) -> None:
  parser.add_argument("dataset", nargs="?", help=f"one of {', '.join([*_SOURCES, *_TEXTS])}")
  parser.add_argument("--source", metavar="FOLDER", help="where the raw files lie")
  parser.add_argument("--name", help="of the dataset made from image_folder or text")
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
    if request.options.fallback is None or request.options.dataset in _TEXTS:
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
  if "tokenizer" in config:
    return _prepare_text(config)
  source = build(config.source, path="config.source")
  data_dir = _data_dir(config)
  folder = folder_of(source.name, data_dir)
  if is_complete(folder):
    _refuse_other(folder, source=_facts(source))
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


def _prepare_text(config: ConfigDict) -> Path:
  """The same for text: stage by stage, so that a run that was stopped can go on."""
  parts = ("source", "cleaning", "duplicates", "holdout", "tokenizer", "form")
  built = {part: build(config[part], path=f"config.{part}") for part in parts}
  rules = Rules(built["cleaning"], built["duplicates"], built["holdout"])
  source, facts = built["source"], _facts(built["source"])
  job = Job(source, rules, built["tokenizer"], built["form"], config.num_shards, config.max_dropped)
  data_dir = _data_dir(config)
  folder = folder_of(source.name, data_dir)
  if is_complete(folder):
    _refuse_other(folder, source=facts, settings=job.settings())
    print(f"prepare: {folder} is there already; remove it to prepare it anew")
    return folder
  write_dataset(job, data_dir=data_dir, source_facts=facts)
  _show_text(json.loads((folder / REPORT).read_text()), folder)
  return folder


def _data_dir(config: ConfigDict) -> Path:
  return Path(config.data_dir or os.environ.get("PRETRAINJAX_DATA", "data"))


def _facts(source: Any) -> dict[str, Any]:
  """What decides which examples are written; the same files may lie in another place."""
  facts = dataclasses.asdict(source)
  facts.pop("source", None)
  return facts | ({"root": str(Path(facts["root"]).resolve())} if "root" in facts else {})


def _refuse_other(folder: Path, **wanted: dict[str, Any]) -> None:
  """Raises UserError where what is there was made from something else under the same name."""
  path = folder / REPORT
  there = json.loads(path.read_text()) if path.is_file() else {}
  for part, facts in wanted.items():
    found, facts = _flat(there.get(part, {})), _flat(facts)
    # What only one of them knows was added by a later version, or is a tokenizer's other form.
    for key, value in found.items():
      if facts.get(key, value) != value:
        raise UserError(
          f"--data_dir: {folder} was prepared with {key}={value!r}, found {facts[key]!r}; "
          "choose another name, or remove it to prepare it anew"
        )


def _flat(facts: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  flat = {}
  for key, value in facts.items():
    flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
  return flat


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


def _show_text(report: dict, folder: Path) -> None:
  print(f"from           {report['origin']}")
  for split, counts in report["splits"].items():
    rate = counts["bytes"] / max(counts["tokens"], 1)
    print(
      f"{split:<14} {counts['examples']:,} {report['form']}, {counts['documents']:,} documents, "
      f"{counts['tokens']:,} tokens, {counts['bytes']:,} bytes, {rate:.3f} bytes a token"
    )
  for reason, count in sorted(report["dropped"].items(), key=lambda pair: -pair[1]):
    keys = ", ".join(report["dropped_keys"].get(reason, ())[:_SHOWN])
    print(f"dropped        {count:,} {reason}{': ' + keys if keys else ''}")
  for kind in ("class_names", "tag_names"):
    if report[kind]:
      print(f"{kind.replace('_', ' '):<14} {len(report[kind])}: {', '.join(report[kind][:_SHOWN])}")
  print(f"vocabulary     {report['vocab_size']:,} tokens, {report['tokenizer']}")
  print(f"dataset        {folder}, report in {REPORT}")


if __name__ == "__main__":
  as_process(main)
