"""Configs name classes, are checked against them, and build nothing else."""

import dataclasses
from typing import Literal

import optax
import pytest
from ml_collections import ConfigDict

from pretrainjax.checkpoint.manager import Keep
from pretrainjax.config import RECIPE, TARGET, build, recipe, spec
from pretrainjax.errors import UserError
from pretrainjax.train.parallel import Parallel


def test_spec_writes_every_argument_down():
  config = spec(Keep, last=3)
  assert config.to_dict() == {
    TARGET: "pretrainjax.checkpoint.manager:Keep",
    "last": 3,
    "best": 1,
    "metric": None,
    "mode": "max",
  }


def test_build_inverts_spec():
  assert build(spec(Keep, last=3, metric="a")) == Keep(last=3, metric="a")


def test_build_goes_into_dicts_and_tuples():
  built = build(ConfigDict({"a": {"b": spec(Keep)}, "t": (1, 2)}))
  assert built == {"a": {"b": Keep()}, "t": (1, 2)}


def test_recipe_builds_a_factory():
  factory = build(recipe(Keep, last=5))
  assert factory() == Keep(last=5)
  assert RECIPE not in spec(Keep)


def test_spec_refuses_unknown_and_missing_arguments():
  with pytest.raises(TypeError, match="did you mean 'last'"):
    spec(Keep, lastt=3)
  with pytest.raises(TypeError, match="needs argument 'learning_rate'"):
    spec(optax.sgd)


def test_an_integer_is_a_fine_float_but_not_the_other_way():
  assert build(spec(optax.constant_schedule, value=1)) is not None
  config = spec(Keep)
  with config.ignore_type():
    config.last = 1.5
  with pytest.raises(UserError, match=r"config.last: found 1.5, expected int"):
    build(config)


def test_choices_are_named():
  config = spec(Parallel)
  config.mode = "jitt"
  with pytest.raises(UserError, match="expected one of jit, pmap; did you mean 'jit'"):
    build(config)


def test_range_errors_of_the_target_become_one_line():
  with pytest.raises(UserError, match=r"^here: last=0"):
    build(spec(Keep, last=0), path="here")


@pytest.mark.parametrize(
  "target",
  [
    "os:system",
    "subprocess:Popen",
    "pretrainjax.config:importlib",  # merely imported there
    "pretrainjax.config:importlib.import_module",
    "pretrainjax.config:__builtins__",
    "pretrainjax.types:Any",
    "pretrainjax_evil:run",
    "pretrainjax.config",
    "pretrainjax.nothing:X",
    "pretrainjax.config:Nothing",
    "",
  ],
)
def test_build_refuses_what_a_config_may_not_name(target):
  with pytest.raises(UserError, match="_target"):
    build(ConfigDict({TARGET: target}))


def test_unknown_argument_in_loaded_config():
  config = spec(Keep)
  config["lst"] = 3
  with pytest.raises(UserError, match="no such argument; did you mean 'last'"):
    build(config)


def test_none_fields_remember_their_type():
  config = spec(Keep)
  with pytest.raises(TypeError):
    config.metric = 3


def test_literals_of_a_dataclass_are_read():
  # The check below would pass vacuously if annotations could not be read.
  assert Keep.__annotations__["mode"] == Literal["max", "min"]
  assert dataclasses.is_dataclass(Keep)
