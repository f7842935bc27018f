"""Which classes a config may name, for whom, and what a refusal says to type."""

import argparse
import dataclasses
import sys

import optax
import pytest
from ml_collections import ConfigDict

from pretrainjax.checkpoint.manager import Keep
from pretrainjax.config import build, spec
from pretrainjax.config.allowed import (
  ANYTHING,
  TARGET,
  TargetError,
  add_allow_flag,
  names_of_others,
  packages,
  resolve,
)
from pretrainjax.config.text import from_json, override, to_json
from pretrainjax.errors import UserError


@pytest.fixture
def lab(tmp_path, monkeypatch):
  """A package of somebody's, which leaves a mark when it is imported."""
  folder = tmp_path / "lab_of_tests"
  folder.mkdir()
  (folder / "__init__.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w').close()\n")
  (folder / "nets.py").write_text(
    "import dataclasses, os, pathlib\nfrom pathlib import Path\n"
    "from pretrainjax.checkpoint.manager import Keep\n"
    "@dataclasses.dataclass(frozen=True)\nclass Net:\n  depth: int = 2\n"
    "def make(depth: int = 2):\n  return Net(depth)\n"
  )
  (folder / "old.py").write_text("from lab_of_tests.nets import Net\n")
  (folder / "broken.py").write_text("1 / 0\n")
  for hidden in ("_nets.py", "nets_test.py", "test_nets.py", "conftest.py"):
    (folder / hidden).write_text(
      f"open({str(tmp_path / 'hidden')!r}, 'w').close()\nclass Hidden:\n  pass\n"
    )
  (folder / "tests").mkdir()
  (folder / "tests" / "nets.py").write_text((folder / "_nets.py").read_text())
  (folder / "_offered").mkdir()
  (folder / "_offered" / "deep.py").write_text("class Offered:\n  pass\n")
  monkeypatch.syspath_prepend(tmp_path)
  yield tmp_path / "mark"
  for name in [n for n in sys.modules if n.partition(".")[0] == "lab_of_tests"]:
    del sys.modules[name]


def test_a_package_is_not_imported_unless_it_is_allowed(lab):
  config = ConfigDict({TARGET: "lab_of_tests.nets:Net", "depth": 3})
  for refused in ((), ("lab",), ("lab_of_tests_too",), ("lab_of_tests.old",)):
    with pytest.raises(TargetError) as refusal:
      build(config, allow=refused)
    said = "of the package 'lab_of_tests', which a stored config may name only where you trust"
    assert said in str(refusal.value)
    assert '--allow=lab_of_tests, or allow=("lab_of_tests",) in Python' in str(refusal.value)
    assert not lab.exists()
  for allowed in (ANYTHING, ("lab_of_tests",), ("x", "lab_of_tests.nets"), (config[TARGET],)):
    assert build(config, allow=allowed).depth == 3


@pytest.mark.parametrize(
  "module",
  ["_nets", "nets_test", "test_nets", "conftest", "tests.nets", "_nets.deeper", "__main__"],
)
def test_private_and_test_modules_are_not_imported(module, lab):
  name = f"lab_of_tests.{module}"
  with pytest.raises(TargetError, match=f"private module or one of tests.*--allow={name}, or"):
    resolve(f"{name}:Hidden", "config", allow=("lab_of_tests",))
  assert not (lab.parent / "hidden").exists()


def test_a_private_module_may_be_trusted_by_its_name(lab):
  for allow in (("lab_of_tests._nets",), ("x", "lab_of_tests._nets:Hidden"), ANYTHING):
    assert resolve("lab_of_tests._nets:Hidden", "config", allow=allow).__name__ == "Hidden"


def test_what_a_package_offers_may_live_in_a_private_module(lab):
  (lab.parent / "lab_of_tests" / "__init__.py").write_text(
    "from lab_of_tests._offered.deep import Offered\n"
  )
  found = resolve("lab_of_tests._offered.deep:Offered", "config", allow=("lab_of_tests",))
  assert found.__module__ == "lab_of_tests._offered.deep"
  with pytest.raises(TargetError, match="private module"):
    resolve("lab_of_tests._offered.deep:Hidden", "config", allow=("lab_of_tests",))


def test_functions_and_names_left_behind_do_too(lab):
  allow = ("lab_of_tests",)
  assert build(ConfigDict({TARGET: "lab_of_tests.nets:make", "depth": 4}), allow=allow).depth == 4
  assert resolve("lab_of_tests.old:Net", "config", allow=allow).__name__ == "Net"


@pytest.mark.parametrize("allow", [ANYTHING, ("lab_of_tests",)])
@pytest.mark.parametrize("name", ["nets:Path", "nets:os", "nets:pathlib", "nets:Keep"])
def test_what_a_package_merely_imports_is_not_its_own(name, allow, lab):
  with pytest.raises(TargetError, match="is not a class or function of lab_of_tests"):
    resolve(f"lab_of_tests.{name}", "config", allow=allow)


@pytest.mark.parametrize(
  ("name", "said"),
  [
    ("lab_of_tests.nets:Nett", "if 'lab_of_tests' has moved it, import it at its old place too"),
    ("lab_of_tests.net:Net", "if 'lab_of_tests' has moved it, import it at its old place too"),
    ("lab_of_tests.broken:Net", "division by zero"),
    ("lab_of_nobody.nets:Net", "install the package 'lab_of_nobody', or put its folder on PYTHON"),
  ],
)
def test_what_is_not_there_says_what_to_do(name, said, lab):
  with pytest.raises(TargetError) as refusal:
    resolve(name, "config.objective", allow=ANYTHING)
  assert str(refusal.value).startswith(f"config.objective._target: '{name}' does not exist (")
  assert said in str(refusal.value) and str(refusal.value).isprintable()


def test_a_class_of_the_config_file_itself_is_told_to_move():
  with pytest.raises(TargetError, match="move it to a module"):
    resolve("_pretrainjax_config:Net", "config", allow=ANYTHING)


def test_ours_stay_ours_whatever_is_allowed():
  for name in ("pretrainjax.prepare:main", "pretrainjax.checkpoint.manager:Checkpoints"):
    with pytest.raises(TargetError, match="pretrainjax/config/allowed.py lists"):
      resolve(name, "config", allow=(*ANYTHING, "pretrainjax"))


@pytest.mark.parametrize(
  "name",
  [
    "optax._src.sharding_test:ShardingTest",
    "optax.optax_test:OptaxTest",
    "optax.contrib._muon_test:MuonTest",
    "optax._src.base:jax",
    "optax._src.base:NamedTuple",
    "optax._src.utils:fake_params",
    "optax.experimental:sophia",
    "optax:nothing",
  ],
)
@pytest.mark.parametrize("allow", [(), ANYTHING])
def test_of_optax_only_what_it_offers(name, allow):
  before = set(sys.modules)
  with pytest.raises(TargetError, match="expected a class or function that optax, or one of"):
    resolve(name, "config", allow=allow)
  assert name.partition(":")[0] in before or name.partition(":")[0] not in sys.modules


@pytest.mark.parametrize(
  ("name", "found"),
  [
    ("optax:adam", optax.adam),
    ("optax._src.alias:adam", optax.adam),  # what `spec` writes
    ("optax.contrib:muon", optax.contrib.muon),
    ("optax.contrib._muon:muon", optax.contrib.muon),
  ],
)
def test_optax_by_either_name(name, found):
  assert resolve(name, "config") is found


def test_what_a_file_named_may_be_named_again(lab):
  config = ConfigDict(
    {
      "a": {TARGET: "lab_of_tests.nets:Net", "depth": 1},
      "keep": spec(Keep),
      "tx": spec(optax.sgd, learning_rate=1.0),
      "b": ({TARGET: "other.x:Y"}, {TARGET: "os:system"}, {TARGET: "no name"}, {TARGET: 3}),
    }
  )
  assert set(names_of_others(config)) == {"lab_of_tests.nets:Net", "other.x:Y"}
  allow = packages(names_of_others(config))
  assert build(config.a, allow=allow).depth == 1
  with pytest.raises(TargetError, match="--allow=lab_of_tests"):
    resolve("lab_of_tests.nets:make", "config", allow=allow)


def test_flags_are_no_way_in(lab):
  config = ConfigDict({"keep": spec(Keep), "net": {TARGET: "lab_of_tests.nets:Net", "depth": 1}})
  for key in ("keep._target", "net._target", "net._recipe", "_target"):
    with pytest.raises(UserError, match="has no key '_"):
      override(config, key, "os:system")
  override(config, "keep.metric", "{'_target': 'os:system'}")
  assert config.keep.metric == "{'_target': 'os:system'}", "a word stays a word"


def test_json_of_others_is_read_for_those_who_allow_it(lab):
  text = to_json(ConfigDict({"net": {TARGET: "lab_of_tests.nets:Net"}}))
  with pytest.raises(TargetError, match="config.net._target: found 'lab_of_tests.nets:Net'"):
    from_json(text)
  assert not lab.exists()
  assert from_json(text, allow=("lab_of_tests",)).net.depth == 2, "its default of today"


@pytest.mark.parametrize("name", ["", "my lab", "my-lab", "*", "a*", "../lab", ".lab", "lab."])
def test_an_allowed_package_is_a_name(name):
  with pytest.raises(UserError, match="--allow: found .*, expected a package's name"):
    packages((name,))


@pytest.mark.parametrize("name", ["os", "subprocess", "builtins", "importlib.util", "os:system"])
def test_pythons_own_modules_are_never_allowed(name):
  with pytest.raises(UserError, match="--allow: found .*, which is Python's own"):
    packages((name,))


def test_the_flag_is_repeated_or_has_commas():
  parser = argparse.ArgumentParser()
  add_allow_flag(parser)
  assert packages(parser.parse_args([]).allow) == ()
  flags = parser.parse_args(["--allow=a,b.c", "--allow", "d"])
  assert packages(flags.allow) == ("a", "b.c", "d")
  assert packages("a, b") == ("a", "b")


def test_objects_among_defaults_become_their_specs():
  @dataclasses.dataclass(frozen=True)
  class Outer:
    keep: Keep = Keep(last=7)

  config = spec(Outer)
  assert config.keep[TARGET] == "pretrainjax.checkpoint.manager:Keep" and config.keep.last == 7
