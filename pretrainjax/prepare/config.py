"""The config of a job: its source, and whatever the source's preparation can be told."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict, config_dict

from pretrainjax.config.allowed import TARGET, resolve
from pretrainjax.config.objects import build, default_field, spec
from pretrainjax.errors import UserError
from pretrainjax.prepare.job import Job
from pretrainjax.prepare.lookup import check_source, source_class
from pretrainjax.user_path import user_path


def default_config(name: str) -> ConfigDict:
  """The config of a source.

  Args:
    name: see `lookup.source_class`.

  Raises:
    UserError: for a name that is none.
  """
  target = source_class(name)
  config = ConfigDict(sort_keys=False)
  config.source = _spec(target, name)
  config.data_dir = config_dict.placeholder(str)
  config.num_shards = config_dict.placeholder(int)  # chosen by size
  config.max_dropped = 0.01
  preparation = target.preparation
  for field in dataclasses.fields(preparation):
    config[field.name] = default_field(getattr(preparation, field.name), Any)
  return config


def job_of(config: ConfigDict, *, allow: tuple[str, ...] = ()) -> Job:
  """The job that a config describes.

  Args:
    config: see `default_config`.
    allow: packages beside ours whose classes it may name; the binary says `ANYTHING`.

  Raises:
    UserError: for values that are none.
  """
  target = resolve(config.source[TARGET], "config.source", allow=allow)
  check_source(target, config.source[TARGET])
  preparation = target.preparation
  parts = {
    field.name: build(config[field.name], path=f"config.{field.name}", allow=allow)
    for field in dataclasses.fields(preparation)
    if field.name in config
  }
  return Job(
    source=build(config.source, path="config.source", allow=allow),
    preparation=dataclasses.replace(preparation, **parts),
    num_shards=config.num_shards,
    max_dropped=config.max_dropped,
  )


def data_dir_of(config: ConfigDict) -> Path:
  """Where datasets lie."""
  return user_path(config.data_dir or os.environ.get("PRETRAINJAX_DATA", "data"))


def _spec(target: type, name: str) -> ConfigDict:
  """A source with its defaults."""
  fields = [field for field in dataclasses.fields(target) if field.init]
  missing = [
    field.name
    for field in fields
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
  ]
  if missing:
    raise UserError(
      f"prepare: '{name}' has no default of {', '.join(missing)}; name it in a config file "
      "(--config), with what it needs"
    )
  return spec(target)
