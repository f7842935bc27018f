"""The files below a folder, in a fixed order, listed on disk: memory does not grow with them."""

import contextlib
import hashlib
import os
import sqlite3
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from tqdm import tqdm

from pretrainjax.errors import printable
from pretrainjax.prepare.contract import Unreadable

# What is passed over comes in its place among the files; folders that are closed come last.
_LINKED, _FILE, _FOLDER, _CLOSED = b"\0", b"\1", b"\2", b"\3"


class File(NamedTuple):
  """One file below a folder.

  Attributes:
    path: the path below the folder that was walked through.
    size: the number of its bytes.
  """

  path: Path
  size: int


class Listing:
  """The files below folders, and what was passed over.

  Passed over are links out of the folder or to nowhere, linked folders, folders that cannot be
  read, hidden files and whatever has no suffix that was asked for.
  """

  def __init__(
    self,
    database: sqlite3.Connection,
    *,
    suffixes: Collection[str],
    what: str,
    by_content: Callable[[Path], str | None] | None = None,
    follow_links: bool = False,
  ):
    """Makes an empty listing.

    Args:
      database: a database for the table of the files, which is this listing's own.
      suffixes: the suffixes of the files, in small letters.
      what: the word for such a file, for the reason why another is passed over: "image".
      by_content: is asked about plain files of other suffixes; None takes one, a reason passes it
        over, and one that begins with "format" says that it should have been of the kind.
      follow_links: whether links out of the folder, and linked folders, are followed.
    """
    self._database, self._suffixes, self._what = database, suffixes, what
    self._by_content, self._follow_links = by_content, follow_links
    database.execute(
      "CREATE TABLE file (place BLOB PRIMARY KEY, path BLOB, size INTEGER, time INTEGER,"
      " reason TEXT) WITHOUT ROWID"
    )

  def add(self, root: Path, *, order: Literal["path", "folder"] = "path") -> None:
    """Walks through a folder.

    Args:
      root: the folder, or one file; what leads out of it is passed over.
      order: the order of the files: by "path", name by name; or "folder": the files of a folder
        before those of its own.
    """
    if root.is_file():
      found = root.stat()
      self._insert(_FILE, "", found.st_size, found.st_mtime_ns, None)
      return
    real = root.resolve()
    # Names below the root, and the folders that they lead through: a link must not lead back.
    waiting: list[tuple[tuple[str, ...], tuple[str, ...]]] = [((), (str(real),))]
    with tqdm(desc="list", unit=" files", mininterval=0.5) as bar:
      while waiting:
        parents, through = waiting.pop()
        try:
          for entry in self._entries(root.joinpath(*parents)):
            target = self._folder(entry, through)
            if target is None:
              self._note(entry, parents, real, order)
              bar.update()
            elif not entry.name.startswith("."):
              waiting.append(((*parents, entry.name), (*through, target)))
        except OSError as error:
          reason = f"folder that cannot be read ({error.strerror})"
          self._insert(_CLOSED + _place(parents, b"", order), "/".join(parents), 0, 0, reason)

  def _entries(self, folder: Path) -> Iterator[os.DirEntry]:
    with os.scandir(folder) as entries:
      yield from entries

  def _folder(self, entry: os.DirEntry, through: tuple[str, ...]) -> str | None:
    """Where a folder that is to be walked through really is; None for a file, and for a link that
    is not to be followed.
    """
    if entry.is_dir(follow_symlinks=False):
      return os.path.join(through[-1], entry.name)
    if not self._follow_links or not os.path.isdir(entry.path):
      return None
    target = os.path.realpath(entry.path)
    return None if target in through else target

  def _note(self, entry: os.DirEntry, parents: tuple[str, ...], real: Path, order: str) -> None:
    """Notes a file or a linked folder."""
    is_folder = os.path.isdir(entry.path)  # False for a link that leads nowhere
    kind = (_LINKED if is_folder else _FILE) if order == "folder" else b""
    place = _FILE + _place(parents, kind + _spelled(entry.name), order)
    path = "/".join((*parents, entry.name))
    reason = "linked folder" if is_folder else self._why_not(entry, real)
    if reason is not None:
      self._insert(place, path, 0, 0, reason)
      return
    found = entry.stat()
    self._insert(place, path, found.st_size, found.st_mtime_ns, None)

  def _why_not(self, entry: os.DirEntry, root: Path) -> str | None:
    if entry.name.startswith("."):  # such as the "._x.jpg" that macOS leaves
      return "hidden file"
    is_named = os.path.splitext(entry.name)[1].lower() in self._suffixes
    other = f"no {self._what} by its name"
    if not is_named and self._by_content is None:
      return other
    leads_out = entry.is_symlink() and not Path(os.path.realpath(entry.path)).is_relative_to(root)
    if leads_out and not self._follow_links:
      return "link out of the folder" if is_named else other
    try:
      if stat.S_ISREG(entry.stat().st_mode):
        ask = None if is_named else self._by_content
        return ask(Path(entry.path)) if ask is not None else None
    except OSError:
      pass
    if not is_named:
      return other
    return "link to nothing" if entry.is_symlink() else "no plain file"

  def _insert(self, place: bytes, path: str, size: int, time: int, reason: str | None) -> None:
    self._database.execute(
      "INSERT INTO file VALUES (?, ?, ?, ?, ?)", (place, os.fsencode(path), size, time, reason)
    )

  @property
  def num_files(self) -> int:
    """The number of files, without those that were passed over."""
    return self._number("COUNT(*)", "WHERE reason IS NULL")

  @property
  def num_bytes(self) -> int:
    """The bytes of all files."""
    return self._number("TOTAL(size)", "")

  @property
  def num_items(self) -> int:
    """The number of files and of what was passed over."""
    return self._number("COUNT(*)", "")

  def _number(self, what: str, where: str) -> int:
    return int(self._database.execute(f"SELECT {what} FROM file {where}").fetchone()[0])

  def folders(self) -> set[tuple[str, ...]]:
    """The folders that hold files, without those that were passed over, by their names."""
    rows = self._database.execute("SELECT path FROM file WHERE reason IS NULL")
    return {tuple(os.fsdecode(f).split("/")) if f else () for f in {_parent(r[0]) for r in rows}}

  def identity(self) -> str:
    """A digest of names, sizes and times of all files."""
    digest = hashlib.sha256()
    for row in self._database.execute(
      "SELECT path, size, time FROM file WHERE reason IS NULL ORDER BY place"
    ):
      digest.update(b"%s\0%d\0%d\n" % row)
    return digest.hexdigest()

  def items(self) -> Iterator[File | Unreadable]:
    """All files and what was passed over, in order."""
    for path, size, reason in self._database.execute(
      "SELECT path, size, reason FROM file ORDER BY place"
    ):
      if reason is None:
        yield File(Path(os.fsdecode(path)), size)
      else:
        is_fault = reason.startswith(("folder that", "format"))
        yield Unreadable(printable(os.fsdecode(path)), reason, fault=is_fault)


@contextlib.contextmanager
def open_listing(
  *,
  suffixes: Collection[str],
  what: str,
  by_content: Callable[[Path], str | None] | None = None,
  follow_links: bool = False,
) -> Iterator[Listing]:
  """Yields an empty listing, in a temporary file that sqlite makes and removes; see `Listing`."""
  with contextlib.closing(sqlite3.connect("")) as database:
    yield Listing(
      database,
      suffixes=suffixes,
      what=what,
      by_content=by_content,
      follow_links=follow_links,
    )


def _parent(path: bytes) -> bytes:
  return path.rpartition(b"/")[0]


def _place(parents: tuple[str, ...], last: bytes, order: str) -> bytes:
  """Bytes that compare as the files are to be ordered."""
  mark = _FOLDER if order == "folder" else b""
  return b"".join(mark + _spelled(name) + b"\0" for name in parents) + last


def _spelled(name: str) -> bytes:
  """Bytes that compare as Python compares names, those that are no UTF-8 too."""
  return name.encode("utf-8", "surrogatepass")
