"""The examples in docstrings are run, under the same strictness as the tests."""

import ast
import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Parts of objectives that are of little use by themselves.
WITHOUT_EXAMPLES = ("corruption", "spans", "tuning")


def with_examples() -> list[str]:
  """Dotted names of the modules whose text holds a doctest."""
  paths = sorted((ROOT / "pretrainjax").rglob("*.py"))
  names = (p.relative_to(ROOT).with_suffix("") for p in paths if ">>> " in p.read_text())
  return [".".join(name.parts) for name in names]


@pytest.mark.parametrize("name", with_examples())
def test_examples_in_docstrings(name):
  module = importlib.import_module(name)
  # jaxtyping wraps functions, which hides them from the finder unless it looks behind.
  finder, runner = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner()
  found = [test for test in finder.find(module) if test.examples]
  assert found, f"{name}: its examples are in no public docstring"
  told: list[str] = []
  for test in found:
    runner.run(test, out=told.append)
  assert not runner.failures, "".join(told)


def test_where_examples_are_promised():
  """What research code is most likely to take by itself shows how it is called."""
  losses = (ROOT / "pretrainjax/losses").glob("[!_]*.py")
  papers = (ROOT / "pretrainjax/objectives").glob("*/[!_]*.py")
  public = {path for path in (*losses, *papers) if path.stem not in WITHOUT_EXAMPLES}
  modules = {path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in public}
  assert not (modules | {"pretrainjax.masking"}) - set(with_examples())


@pytest.mark.parametrize("path", sorted((ROOT / "pretrainjax/losses").glob("[!_]*.py")))
def test_each_loss_shows_an_example(path):
  """In the docstring of each public function."""
  public = [x for x in ast.parse(path.read_text()).body if isinstance(x, ast.FunctionDef)]
  public = [function for function in public if not function.name.startswith("_")]
  without = [f.name for f in public if ">>> " not in (ast.get_docstring(f) or "")]
  assert path.stem in WITHOUT_EXAMPLES or not without


@pytest.mark.parametrize("path", sorted((ROOT / "pretrainjax/objectives").glob("*/[!_]*.py")))
def test_each_objective_shows_its_formula_and_an_example(path):
  """In the docstring of its class."""
  classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
  # Of those that build on another paper's, `AttentionCTC` is one.
  bases = {c: " ".join(map(ast.unparse, c.bases)) for c in classes}
  objectives = [c for c in classes if "Objective" in bases[c] or "CTC" in bases[c]]
  assert objectives or path.stem in WITHOUT_EXAMPLES
  for node in objectives:
    text = ast.get_docstring(node) or ""
    assert ">>> " in text and "\n    " in text.partition("Args:")[0], node.name
