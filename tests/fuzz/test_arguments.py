"""Every numeric argument of every class, at its worst: a run, or one line; nothing is compiled."""

import ast
import functools
import math
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ml_collections import ConfigDict
from rounds import no_hang, result_or_line

import pretrainjax
from pretrainjax.benchmark.stand_in import StandIn
from pretrainjax.config.allowed import ANYTHING, TARGET, resolve
from pretrainjax.config.objects import RECIPE, hints_of
from pretrainjax.config.shipped import shipped_folder, shipped_names
from pretrainjax.config.text import load_config
from pretrainjax.errors import UserError
from pretrainjax.ranges import bare
from pretrainjax.train.assemble import Run, assemble

TRAINED = [name for name in shipped_names() if not name.startswith("evaluate/")]
TEXT = "finetune/text/bert_spam_assassin"
VALUES = (-1, 0, 1, 3, 10**6, 2**31 - 1, 2**63, -1.0, 0.0, 0.5, 1.0, 1e30, math.nan, math.inf)


def arguments(config: ConfigDict, path: str = "") -> dict[str, Any]:
  """Annotations of all arguments of classes in a config, by dotted key."""
  found = {}
  target = config.get(TARGET)
  hints = hints_of(resolve(target, path, allow=ANYTHING)) if target else {}
  for name in config:
    if isinstance(config[name], ConfigDict):
      found |= arguments(config[name], f"{path}{name}.")
    elif target and name not in (TARGET, RECIPE):
      found[f"{path}{name}"] = hints.get(name, Any)
  return found


def is_numeric(hint: Any) -> bool:
  """Whether numbers are among what an annotation takes, in tuples or beside other things."""
  hint = bare(hint)
  is_made_of_others = typing.get_origin(hint) in (tuple, typing.Union, types.UnionType)
  return hint in (int, float) or (
    is_made_of_others and any(is_numeric(part) for part in typing.get_args(hint))
  )


@functools.cache
def cases() -> list[tuple[str, str]]:
  """Each numeric argument of a class once: (a config's name, dotted key)."""
  found = {}
  for name in TRAINED:
    config = load_config(f"{shipped_folder() / name}.py:smoke")
    for key, hint in arguments(config).items():
      parent, argument = place(config, key)
      if is_numeric(hint):
        found.setdefault((parent[TARGET], argument), (name, key))
  return sorted(found.values())


def place(config: ConfigDict, key: str) -> tuple[ConfigDict, str]:
  *parents, argument = key.split(".")
  for parent in parents:
    config = config[parent]
  return config, argument


def with_value(name: str, key: str, value: float) -> ConfigDict:
  config = load_config(f"{shipped_folder() / name}.py:smoke")
  parent, argument = place(config, key)
  before = parent[argument]
  with parent.ignore_type():
    parent[argument] = (value,) * max(len(before), 1) if isinstance(before, tuple) else value
  return config


def assembled(config: ConfigDict) -> Run:
  """Without data, whose facts are those of a typical set."""
  return assemble(config, num_examples=512, prepared=StandIn(config), allow=ANYTHING)


def check(name: str, key: str, value: float) -> None:
  with no_hang(seconds=120):
    config = with_value(name, key, value)
    try:
      result_or_line(lambda: assembled(config))
    except Exception as error:
      raise AssertionError(f"{name}: {key}={value!r}: {type(error).__name__}: {error}") from error


@pytest.mark.repeat
def test_each_argument_at_one_value():
  for number, (name, key) in enumerate(cases()):
    check(name, key, VALUES[(5 * number) % len(VALUES)])


@pytest.mark.slow
@pytest.mark.parametrize("value", VALUES, ids=str)
def test_each_argument_at_every_value(value):
  for name, key in cases():
    check(name, key, value)


@pytest.mark.parametrize(
  ("name", "key", "value", "said"),
  [
    ("pretrain/text/bert_base", "objective.backbone.dropout", -1.0, "backbone.dropout: found -1.0"),
    (
      "finetune/image/mlp_mnist",
      "objective.backbone.dropout",
      3.0,
      "dropout: found 3.0, exp",
    ),
    ("pretrain/text/llama_1b", "objective.backbone.num_kv_heads", 0, "num_kv_heads: found 0, exp"),
    ("pretrain/text/bert_base", "objective.backbone.num_types", -1, "num_types: found -1, exp"),
    ("pretrain/text/bert_base", "objective.backbone.num_heads", 10**9, "expected a divisor of"),
    ("pretrain/text/gpt_sotu", "optimizer.learning_rate", math.nan, "learning_rate: found nan"),
  ],
)
def test_mistakes_are_told_in_a_line(name, key, value, said):
  with pytest.raises(UserError, match=f"^config.{key.partition('.')[0]}.*{said}") as refusal:
    assembled(with_value(name, key, value))
  assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
  ("name", "key", "value", "said"),
  [
    (
      TEXT,
      "optimizer.frozen",
      ("encoder/blocksx",),
      ".*: 'encoder/blocksx' fits no parameter; did you",
    ),
    (TEXT, "optimizer.frozen", ("*",), "config.optimizer: frozen=.* leaves no parameter to train"),
    ("finetune/image/mlp_mnist", "optimizer.layer_decay", 0.5, "config.optimizer: layer_decay=0.5"),
  ],
)
def test_an_optimizer_that_does_not_fit_the_parameters_is_told(name, key, value, said):
  config = with_value(name, key, 1)
  parent, argument = place(config, key)
  with parent.ignore_type():
    parent[argument] = value
  with pytest.raises(UserError, match=f"^{said}"):
    assembled(config)


def classes() -> Iterator[tuple[str, type]]:
  """All classes of ours that a config may name and that have arguments, by "module:Name"."""
  package = Path(pretrainjax.__file__).parent
  for path in sorted(package.rglob("*.py")):
    module = ".".join(("pretrainjax", *path.relative_to(package).with_suffix("").parts))
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
      if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
        try:
          yield f"{module}:{node.name}", resolve(f"{module}:{node.name}", "config")
        except UserError:
          continue


def test_every_number_has_its_range_in_its_type():
  """So that one place, `build`, refuses what lies outside."""
  results = {"pretrainjax.evaluators.results:Row"}  # what is measured, made by no config
  without, seen = [], 0
  for name, target in classes():
    if issubclass(target, tuple) or name in results:
      continue
    for argument, hint in hints_of(target).items():
      is_class_variable = typing.get_origin(hint) is typing.ClassVar
      if argument == "return" or is_class_variable or not is_numeric(hint):
        continue
      seen += 1
      if "Range" not in str(hint):
        without.append(f"{name}: {argument}: {hint}")
  assert not without, "\n".join(["", *without])
  assert seen > 250
