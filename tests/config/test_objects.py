"""Configs name classes, are checked against them, and build nothing else."""

import ast
import dataclasses
import importlib
import re
import types
from pathlib import Path
from typing import Literal

import optax
import pytest
from ml_collections import ConfigDict

from pretrainjax.checkpoint.manager import Keep
from pretrainjax.config import build, recipe, spec
from pretrainjax.config.allowed import TARGET, resolve
from pretrainjax.config.objects import RECIPE, seed_of
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


def test_a_truth_value_is_no_number():
  config = spec(Keep)
  config.last = True
  with pytest.raises(UserError, match="config.last: found True, expected int"):
    build(config)


def unannotated(rate=0.5, count=3, flag=False):
  return rate, count, flag


def test_where_no_annotation_would_tell_it_is_refused_at_once():
  config = spec(unannotated, flag=True)
  config.flag = False
  for name, kind in (("rate", "float"), ("count", "int")):
    with pytest.raises(TypeError, match=f"^{name}: found True \\(bool\\), expected {kind}$"):
      spec(unannotated, **{name: True})
    with pytest.raises(TypeError, match=f"^{name}: found True \\(bool\\), expected {kind}$"):
      config[name] = True


def test_arguments_equal_the_same_plain_values():
  config = spec(Keep)
  plain = ConfigDict(config)
  assert type(plain) is ConfigDict and config == plain and plain == config
  plain.last = 7
  assert config != plain and plain != config and config != 3
  whole = ConfigDict({"keep": config})
  whole.keep = plain
  assert whole.keep is plain
  whole.keep = config
  assert whole.keep is config


def test_choices_are_named():
  config = spec(Parallel)
  config.mode = "jitt"
  with pytest.raises(UserError, match="expected one of jit, pmap; did you mean 'jit'"):
    build(config)


def test_range_errors_of_the_target_become_one_line():
  with pytest.raises(UserError, match=r"^here.last: found 0, expected at least 1"):
    build(spec(Keep, last=0), path="here")


@pytest.mark.parametrize(
  "target",
  [
    "os:system",
    "subprocess:Popen",
    "pretrainjax.config.allowed.importlib",  # merely imported there
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


@pytest.mark.parametrize("seed", [-1, 1 << 63, True, None, 1.0, "1"])
def test_seeds_are_counts_that_generators_take(seed):
  with pytest.raises(UserError, match="--config.seed: found"):
    seed_of(ConfigDict({"seed": seed}))
  assert seed_of(ConfigDict({"seed": 7})) == 7


@pytest.mark.parametrize(
  "target",
  [
    # What pretrainjax itself has that reads, writes, runs or imports.
    "pretrainjax.prepare.files.places:run",
    "pretrainjax.config.text:load_config",
    "pretrainjax.config:build",
    "pretrainjax.config.objects:build",
    "pretrainjax.prepare.__main__:main",
    "pretrainjax.checkpoint.manager:Checkpoints",
    "pretrainjax.train.tracking:Tracker",
    "pretrainjax.evaluators.results:append_results",
    # Names that are there, but of something else.
    "pretrainjax.models.vit:nnx",
    "pretrainjax.models.vit:np",
    "pretrainjax.models.vit:Any",
    "pretrainjax.objectives.masked.mae:ViT",
    "pretrainjax.models.vit:__loader__",
    "pretrainjax.models.vit:__builtins__",
    "optax:tree_utils",
    "optax:__spec__",
    "optax._src.base:jax",
    "optax._src.base:NamedTuple",
    # Ways around the name.
    "pretrainjax.models.vit:os.system",
    "pretrainjax.models.vit:ViT.__init__",
    "pretrainjax.models.vit:ViT:x",
    "pretrainjax.models.vit:ViT\n",
    " pretrainjax.models.vit:ViT",
    "pretrainjax.models.vit\uff1aViT",
    "\uff50retrainjax.models.vit:ViT",
    "pretrainjax.models..vit:ViT",
    ".models.vit:ViT",
    "pretrainjax.models.vit.:ViT",
    "pretrainjax.models/vit:ViT",
    "pretrainjax.modelsx:ViT",
    "pretrainjax.models.vit\0:ViT",
    "optaxx:adam",
    3,
    None,
    ("pretrainjax.models.vit", "ViT"),
    {"a": "b"},
  ],
)
def test_no_way_around_the_list(target, monkeypatch):
  imported = []
  importer = types.SimpleNamespace(
    import_module=lambda name: imported.append(name) or importlib.import_module(name)
  )
  monkeypatch.setattr("pretrainjax.config.allowed.importlib", importer)
  config = ConfigDict()
  config[TARGET] = target
  with pytest.raises(UserError, match="_target") as refusal:
    build(config)
  assert str(refusal.value).isprintable()
  assert all(name.startswith(("pretrainjax.", "optax")) for name in imported)
  # What is no name at all is not even looked for.
  if not re.fullmatch(r"[\w.]+:\w+", str(target), flags=re.ASCII) or ".." in str(target):
    assert not imported


def test_all_that_our_configs_name_is_on_the_list_and_only_makes_objects():
  """Classes are dataclasses, modules or tables of values: their constructors touch no file."""
  for path in (Path(__file__).parents[2] / "pretrainjax").rglob("*.py"):
    module = ".".join(path.relative_to(path.parents[1]).with_suffix("").parts)
    module = f"pretrainjax{module.partition('pretrainjax')[2]}"
    classes = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.ClassDef)]
    for node in classes:
      try:
        resolve(f"{module}:{node.name}", "config")
      except UserError:
        continue
      made = [f for f in node.body if getattr(f, "name", "") in ("__init__", "__post_init__")]
      calls = {ast.unparse(c.func) for f in made for c in ast.walk(f) if isinstance(c, ast.Call)}
      touching = {"open", "exec", "eval", "print", "__import__"}
      assert not calls & touching and not any(
        name.startswith(("os.", "subprocess.", "shutil.", "Path(", "importlib.")) for name in calls
      ), f"{module}:{node.name}"
