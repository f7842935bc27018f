"""Which folders of a path name the split and the class of an image, or of another file."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pretrainjax.errors import UserError
from pretrainjax.prepare.split_names import rest_of_name, split_of_name

Folders = tuple[str, ...]
SPLITS = ("train", "validation", "test")
# What the user may say a folder is, beside a split.
CLASS, LEFT_OUT = "class", "none"
_KEY, _LEVEL = "--config.source.split_names", "--config.source.class_level"


class Layout(NamedTuple):
  """How paths are read, "ROOT/pets/train/cat/indoors/1.png" for one.

  Attributes:
    split_at: the folder that names the split, from 0; None where none does.
    num_split: so many folders from there say so, one in the other.
    class_at: of the folders that are left, the one that names the class, from 0.
    wraps: whether folders above that of the split hold all there is, and say nothing.
    meanings: what the user said that folders are.
  """

  split_at: int | None
  num_split: int
  class_at: int
  wraps: bool
  meanings: Mapping[str, str]

  def place(self, folders: Folders) -> tuple[str, str | None] | None:
    """Split and class (None without) of what lies in such folders; None for what is left out."""
    if LEFT_OUT in (self.meanings.get(name) for name in folders):
      return None
    split = "train"
    if self.split_at is not None and len(folders) > self.split_at:
      split = _meaning(folders[self.split_at], self.meanings) or split
    rest = self.rest(folders)
    return split, rest[self.class_at] if len(rest) > self.class_at else None

  def rest(self, folders: Folders) -> Folders:
    """The folders that may name a class."""
    if self.split_at is None:
      return folders
    above = () if self.wraps else folders[: self.split_at]
    return (*above, *folders[self.split_at + self.num_split :])


def find_layout(
  folders: Iterable[Folders],
  *,
  root: str,
  meanings: Mapping[str, str] | None = None,
  class_level: int | None = None,
) -> Layout:
  """Looks for the folders that are splits, at any depth, and for those that are classes.

  Splits are the folders of a level where all of them are named as splits. The classes are named by
  the first folder that is left, or where one folder holds all there is, by those in it.

  Args:
    folders: those that hold examples, below the root.
    root: the root, for messages.
    meanings: what a folder of a name is: one of `SPLITS`, `CLASS` or `LEFT_OUT`; others are told
      by `split_of_name`.
    class_level: the folder that names the class, from 1, without those of splits.

  Raises:
    UserError: where some folders of a level are splits and others are not, and for a level that no
      folder has.
  """
  meanings = meanings or {}
  used = [f for f in folders if LEFT_OUT not in (meanings.get(name) for name in f)]
  depth = max((len(f) for f in used), default=0)
  at = next((i for i in range(depth) if _are_splits(used, i, root, meanings)), None)
  layout = Layout(at, 1, 0, False, meanings)
  if at is not None:
    layout = layout._replace(
      num_split=_num_repeated(used, at, meanings), wraps=len({f[:at] for f in used}) == 1
    )
  rests = {layout.rest(f) for f in used}
  if class_level is None:
    return layout._replace(class_at=_class_at(rests))
  if class_level > (deepest := max(map(len, rests), default=0)):
    raise UserError(f"{_LEVEL}: found {class_level}, but folders of '{root}' are {deepest} deep")
  return layout._replace(class_at=class_level - 1)


def folders_in_classes(layout: Layout, folders: Iterable[Folders]) -> list[str]:
  """The folders inside of those that name classes, "cat/indoors", in order."""
  rests = {layout.rest(f) for f in folders if layout.place(f) is not None}
  inside = {rest[: layout.class_at + 2] for rest in rests if len(rest) > layout.class_at + 1}
  return sorted("/".join(f) for f in inside)


def parse_meanings(pairs: Iterable[str]) -> dict[str, str]:
  """What a user says of folders, "fold1=test" each.

  Raises:
    ValueError: for what says nothing of that kind.
  """
  meanings = {}
  for pair in pairs:
    name, _, meaning = pair.rpartition("=")
    if not name or meaning not in (*SPLITS, CLASS, LEFT_OUT):
      choices = ", ".join((*SPLITS, CLASS, LEFT_OUT))
      raise ValueError(f"split_names: found '{pair}', expected FOLDER=one of {choices}")
    meanings[name] = meaning
  return meanings


def _meaning(name: str, meanings: Mapping[str, str]) -> str | None:
  """The split that a folder's name means."""
  said = meanings.get(name)
  return said if said in SPLITS else None if said == CLASS else split_of_name(name)


def _are_splits(folders: list[Folders], level: int, root: str, meanings: Mapping[str, str]) -> bool:
  """Whether all folders of a level are splits."""
  names = sorted({f[level] for f in folders if len(f) > level})
  splits = {name: split for name in names if (split := _meaning(name, meanings)) is not None}
  if not splits:
    return False
  different = len(set(splits.values())) > 1
  rests = {rest_of_name(name) for name in splits if name not in meanings}
  is_clear = rests <= {""} or (different and len(rests) == 1)
  others = [name for name in names if name not in splits]
  if is_clear and not others:
    return True
  # "train" may be a class of vehicles, and so may "freight train" be beside "crash test"; but a
  # class holds no folders, and is not met as "train" and as "test".
  nested = any(len(f) > level + 1 and f[level] in splits for f in folders)
  if is_clear and (nested or different):
    said = f"{', '.join(splits)}) beside '{others[0]}'"
  elif nested and different:
    said = f"{', '.join(splits)}) of different sets"
  else:
    return False
  raise UserError(
    f"--source: '{root}' holds splits ({said}, expected only folders that are splits, or only "
    f"classes; say what one is by {_KEY}=FOLDER=split ({', '.join((*SPLITS, CLASS, LEFT_OUT))})"
  )


def _num_repeated(folders: list[Folders], at: int, meanings: Mapping[str, str]) -> int:
  """How many folders in one another say the same split, as archives unpack: "train/train/cat"."""
  end = at + 1
  while all(
    len(f) > end and _meaning(f[end], meanings) == _meaning(f[at], meanings) for f in folders
  ):
    end += 1
  return end - at


def _class_at(rests: set[Folders]) -> int:
  """The first level of several folders, where there is one; else the first of all."""
  level = 0
  while rests and all(len(f) > level + 1 for f in rests) and len({f[level] for f in rests}) == 1:
    level += 1
  return level if len({f[level] for f in rests if len(f) > level}) > 1 else 0
