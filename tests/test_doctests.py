"""The examples in docstrings are run, under the same strictness as the tests."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


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
  promised = ("masking", "losses.classification", "losses.contrastive", "losses.reconstruction")
  missing = {f"pretrainjax.{name}" for name in promised} - set(with_examples())
  assert not missing
