"""Guards of words and names: what is public is documented, and what is private stays inside."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "pretrainjax").rglob("*.py"))
# Where public names may be used: the verbs of `predict` and `benchmark` are found by their names.
USERS = ("pretrainjax", "configs", "tests", "benchmarks", "launch")
FEWEST_WORDS = 3

Definition = ast.FunctionDef | ast.ClassDef


def public(path: Path) -> Iterator[tuple[str, Definition]]:
  """(where it stands, definition) of each public function, class and method of a module."""
  name = path.relative_to(ROOT)
  for node in ast.parse(path.read_text(encoding="utf-8")).body:
    if isinstance(node, Definition) and not node.name.startswith("_"):
      yield f"{name}:{node.lineno} {node.name}", node
      for inner in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
          yield f"{name}:{inner.lineno} {node.name}.{inner.name}", inner


def entries(text: str, section: str) -> dict[str, str]:
  """What a section of a docstring says, by argument."""
  match = re.search(rf"^{section}:\n((?:  .*\n?|\n)*)", text, re.MULTILINE)
  found: dict[str, str] = {}
  for part in re.split(r"^  (?=\S)", match.group(1) if match else "", flags=re.MULTILINE)[1:]:
    name, _, words = part.partition(":")
    found[name.lstrip("*")] = " ".join(words.split("\n\n")[0].split())
  return found


def arguments(node: Definition) -> list[str]:
  """The arguments of a function, or of the constructor that a class writes out."""
  if isinstance(node, ast.ClassDef):
    made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    return arguments(made[0]) if made else []
  args = node.args
  named = [
    *args.posonlyargs,
    *args.args,
    *args.kwonlyargs,
    *filter(None, (args.vararg, args.kwarg)),
  ]
  return [a.arg for a in named if a.arg not in ("self", "cls")]


def overrides(path: Path) -> set[str]:
  """Methods that a class may have from a base, whose docstring holds for them too."""
  tree = ast.parse(path.read_text(encoding="utf-8"))
  derived = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.bases]
  return {f"{c.name}.{m.name}" for c in derived for m in c.body if isinstance(m, ast.FunctionDef)}


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("Adds.\n\nArgs:\n  a: one\n    number.\n  *b: more.\n\nReturns:\n  c: no.\n", ("a", "b")),
    ("Adds.", ()),
  ],
)
def test_entries_are_read(text, expected):
  found = entries(text, "Args")
  assert tuple(found) == expected
  assert not found or found["a"] == "one number."


def test_what_is_public_has_a_docstring_that_begins_with_a_sentence():
  problems = []
  for path in MODULES:
    inherited = overrides(path)
    for where, node in public(path):
      text = ast.get_docstring(node)
      if text is None and where.partition(" ")[2] not in inherited:
        problems.append(f"{where}: has no docstring")
      if text and not text.split("\n\n")[0].endswith((".", ":", "...")):
        problems.append(f"{where}: its first sentence does not end")
  assert not problems, "\n".join(problems)


def test_arguments_are_told_all_or_none_and_in_phrases():
  problems = []
  for path in MODULES:
    for where, node in public(path):
      text = ast.get_docstring(node) or ""
      told = entries(text, "Args")
      if told and not isinstance(node, ast.ClassDef):
        missing = set(arguments(node)) ^ set(told)
        problems += [f"{where}: Args and the arguments differ in {', '.join(missing)}"] * bool(
          missing
        )
      elif told and arguments(node) and set(told) != set(arguments(node)):
        problems.append(f"{where}: Args and the arguments of __init__ differ")
      for name, words in (told | entries(text, "Attributes")).items():
        if len(words.split()) < FEWEST_WORDS or words.startswith("likewise"):
          problems.append(f"{where}: '{name}: {words}' is no phrase")
  assert not problems, "\n".join(problems)


def test_no_module_takes_what_another_calls_private():
  problems = []
  for path in MODULES:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own: set[str] = set()
    for node in ast.walk(tree):
      if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pretrainjax"):
        own |= {alias.asname or alias.name for alias in node.names}
    for node in ast.walk(tree):
      if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        is_field = node.attr.startswith("__") or node.attr in ("_asdict", "_fields", "_make")
        if node.value.id in own and node.attr.startswith("_") and not is_field:
          problems.append(f"{path.relative_to(ROOT)}:{node.lineno} uses {ast.unparse(node)}")
    private = [name for name in own if name.startswith("_") and not name.startswith("__")]
    problems += [f"{path.relative_to(ROOT)}: imports {name}" for name in private]
  assert not problems, "\n".join(problems)


def test_a_public_function_is_used_outside_of_its_module():
  """Else an underscore says that nobody needs to know it; classes are the results of functions."""
  texts = {
    p: p.read_text(encoding="utf-8") for folder in USERS for p in (ROOT / folder).rglob("*.py")
  }
  texts |= {p: p.read_text(encoding="utf-8") for p in [*ROOT.glob("docs/*.md"), ROOT / "README.md"]}
  words = {path: set(re.findall(r"\w+", text)) for path, text in texts.items()}
  unused = [
    where
    for path in MODULES
    for where, node in public(path)
    if isinstance(node, ast.FunctionDef) and "." not in where.partition(" ")[2]
    if not any(node.name in found for other, found in words.items() if other != path)
  ]
  assert not unused, "\n".join(unused)


def test_packages_say_what_they_offer():
  for path in ("pretrainjax/__init__.py", "pretrainjax/config/__init__.py"):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert re.search(r"^__all__ = \[", text, re.MULTILINE), f"{path}: lacks __all__"
