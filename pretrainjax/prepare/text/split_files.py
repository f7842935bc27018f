"""Which split each file of a folder is of, by the names of files and of the folders they lie in."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePath
from typing import Literal

from pretrainjax.errors import UserError, printable
from pretrainjax.prepare.split_names import rest_of_name, split_of_name
from pretrainjax.prepare.text.formats import KINDS
from pretrainjax.prepare.text.streams import COMPRESSED

# Those held out come first: of two equal documents the one held out is kept.
ORDER = ("test", "validation", "train")
_SHOWN = 2


@dataclasses.dataclass(frozen=True)
class SplitNames:
  """What says of which split a file is.

  Attributes:
    by: "folders" or "files", whose names say it; "both", the file's before its folder's; "none".
    alike: what names say beside their splits, of those that name a split: "imdb_test" and
      "imdb_train" do, for they are alike, and a book called "The last train" does not.
    examples: some files of each split, for messages.
  """

  by: Literal["folders", "files", "both", "none"] = "none"
  alike: frozenset[str] = frozenset()
  examples: tuple[tuple[str, str], ...] = ()

  def split_of(self, path: PurePath) -> str | None:
    """The split of a file by its path below the root; None leaves it to the holdout."""
    folder, file = _named(path, self.alike)
    return {"folders": folder, "files": file, "both": file or folder, "none": None}[self.by]

  @property
  def splits(self) -> tuple[str, ...]:
    """The splits that files are of, those held out first; () where names say nothing."""
    return tuple(split for split in ORDER if split in dict(self.examples))

  def note(self) -> str:
    """What a person is told."""
    named = {"folders": "folders", "files": "files", "both": "files and folders"}[self.by]
    pairs = ", ".join(f"{file} is {split}" for split, file in self.examples)
    return f"splits by the names of {named}: {pairs}"


def split_names(paths: Callable[[], Iterable[PurePath]], *, root: str) -> SplitNames:
  """Looks at all names, and decides what says of which split a file is.

  Where the folders say it of every file, they decide; else the files' names, where those do; else
  both. Names that say it of some files only are refused, so that nothing held out is trained on.

  Args:
    paths: yields the files' paths below the root, whenever it is called.
    root: where they lie, for messages.

  Raises:
    UserError: where some files are of a split and some are of none.
  """
  alike = _alike(paths)
  found: dict[str, dict[str | None, list[str]]] = {"folders": {}, "files": {}, "both": {}}
  for path in paths():
    folder, file = _named(path, alike)
    for by, split in (("folders", folder), ("files", file), ("both", file or folder)):
      shown = found[by].setdefault(split, [])
      if len(shown) < _SHOWN:
        shown.append(printable(path.as_posix()))
  for by in ("folders", "files"):
    if len(found[by]) > 1 and None not in found[by]:
      return SplitNames(by, alike, _examples(found[by]))
  splits = found["both"]
  if set(splits) <= {None} or set(splits) == {"train"}:
    return SplitNames()
  if None in splits:
    named = ", ".join(f"{files[0]}: {split}" for split, files in splits.items() if split)
    raise UserError(
      f"--source: '{root}' holds files of splits ({named}) beside '{splits[None][0]}', expected "
      "all files or none to be of one; move it, or leave splits to the holdout by "
      "--config.source.splits=none"
    )
  return SplitNames("both", alike, _examples(splits))


def _examples(found: dict[str | None, list[str]]) -> tuple[tuple[str, str], ...]:
  return tuple((split, files[0]) for split, files in sorted(found.items()) if split is not None)


def _alike(paths: Callable[[], Iterable[PurePath]]) -> frozenset[str]:
  """What names say beside their splits: nothing, or the same in names that differ in their split.

  Only names that hold the word of a split are kept in memory.
  """
  of_splits: dict[str, set[str]] = {}
  for path in paths():
    for name in _names(path):
      if (split := split_of_name(name)) is not None:
        of_splits.setdefault(rest_of_name(name), set()).add(split)
  alike = {rest for rest, splits in of_splits.items() if not rest or len(splits) > 1}
  if len(alike) < len(of_splits):
    # "imdb_test" beside "imdb": a split beside what is of none.
    bare = {
      rest
      for path in paths()
      for name in _names(path)
      if not split_of_name(name)
      if (rest := rest_of_name(name)) in of_splits
    }
    alike |= bare
  return frozenset(alike)


def _names(path: PurePath) -> Iterator[str]:
  """Names of the folders, and that of the file without its suffixes."""
  yield from path.parts[:-1]
  yield stem(path.name)


def stem(name: str) -> str:
  """A file's name without the suffixes of its kind and compression.

  "a.train" of "a.train.jsonl.gz"; all of "eng.testa", whose end is no kind.
  """
  found = PurePath(name)
  if found.suffix.lower() in COMPRESSED:
    found = PurePath(found.stem)
  return found.stem if found.suffix.lower() in KINDS else found.name


def _named(path: PurePath, alike: frozenset[str]) -> tuple[str | None, str | None]:
  """(the split that the outermost folder names, that the file names)."""
  folders = (_split(name, alike) for name in path.parts[:-1])
  return next((s for s in folders if s is not None), None), _split(stem(path.name), alike)


def _split(name: str, alike: frozenset[str]) -> str | None:
  return split_of_name(name) if rest_of_name(name) in alike else None
