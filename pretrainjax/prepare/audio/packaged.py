"""Sounds that lie in Debian packages: found or downloaded, and read as a corpus."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pretrainjax.data.sound import needs_audio
from pretrainjax.errors import UserError
from pretrainjax.prepare.audio.check import SoundFile, examined
from pretrainjax.prepare.audio.look import Look
from pretrainjax.prepare.contract import Corpus, Part, Unreadable
from pretrainjax.prepare.files.debian import files_of_package
from pretrainjax.prepare.files.places import Unavailable, first_of
from pretrainjax.prepare.stages.holdout import Stratified
from pretrainjax.user_path import user_path

ROOT = Path("/")
_AT_ONCE = 500  # files of a part


@contextlib.contextmanager
def package_folders(source: str | None, packages: Mapping[str, str]) -> Iterator[dict[str, Path]]:
  """Yields the folder of each package, which may be gone afterwards.

  Args:
    source: the folder that packages were unpacked into; None looks where they are installed, then
      downloads them without root.
    packages: for each package the folder that holds its sounds, "usr/share/...".

  Raises:
    UserError: where no place has one of them: each place with its reason, and how to get it.
  """
  needs_audio()
  with tempfile.TemporaryDirectory(prefix="sounds_") as temporary:
    found = {}
    for package, inside in packages.items():
      places = _places(package, inside, Path(temporary) / package)
      if source is not None:
        places = {f"--source={source}": lambda inside=inside: _folder(user_path(source) / inside)}
      how = (
        f"as root `apt-get install {package}`, or `apt-get download {package}`, `dpkg-deb -x` it "
        "into a folder and pass --source=FOLDER"
      )
      found[package] = first_of(places, what=package, how=how)
    yield found


def _places(package: str, inside: str, work: Path) -> dict[str, Callable[[], Path]]:
  def downloaded() -> Path:
    work.mkdir()
    return _folder(files_of_package(package, work) / inside)

  installed = ROOT / inside
  return {str(installed): lambda: _folder(installed), f"apt-get download {package}": downloaded}


def _folder(folder: Path) -> Path:
  if not folder.is_dir():
    raise Unavailable("no such folder")
  return folder


@contextlib.contextmanager
def package_corpus(
  source: str | None,
  package: str,
  inside: str,
  files: Callable[[Path], Iterable[SoundFile]],
  *,
  look: Look,
  holdout: Stratified | None,
  info: Mapping[str, Any],
) -> Iterator[Corpus]:
  """Yields the sounds of one package as a corpus.

  Args:
    source: the folder that the package was unpacked into, see `package_folders`.
    package: the name of the package.
    inside: the folder of its sounds, "usr/share/...".
    files: the function that lists what is to be decoded in that folder.
    look: what is kept of them, as of `sound_corpus`.
    holdout: the share that is held out, likewise.
    info: facts for tfds's metadata, likewise.

  Raises:
    UserError: where no place has the package, or it has no such sound.
  """
  with package_folders(source, {package: inside}) as folders:
    found = list(files(folders[package]))
    with sound_corpus(found, look=look, holdout=holdout, origin=package, info=info) as corpus:
      yield corpus


def held_out(fraction: float, seed: int) -> Stratified | None:
  """The hold-out of a source's options; None where it holds nothing out.

  Args:
    fraction: the share that is held out.
    seed: the seed of that choice.
  """
  return Stratified(fraction, seed) if fraction else None


@contextlib.contextmanager
def sound_corpus(
  files: Sequence[SoundFile | Unreadable],
  *,
  look: Look,
  holdout: Stratified | None,
  origin: str,
  info: Mapping[str, Any],
) -> Iterator[Corpus]:
  """Yields files as a corpus.

  Args:
    files: what is to be decoded, in order; what is unreadable is told as it is.
    look: what is kept of them.
    holdout: the share that is held out where no file says its split.
    origin: where they come from, for the report.
    info: facts for tfds's metadata: description, homepage, license.

  Raises:
    UserError: where there are none.
  """
  if not files:
    raise UserError(f"{origin}: holds no sound of that kind")
  digest = hashlib.sha256()
  for file in files:
    about: tuple = tuple(file)
    if isinstance(file, SoundFile):
      about = (file.key, file.path.stat().st_size, file.facts, file.group)
    digest.update(("\0".join(map(str, about)) + "\n").encode())
  with ThreadPoolExecutor(os.cpu_count()) as pool:

    def parts() -> Iterator[Part]:
      for start in range(0, len(files), _AT_ONCE):
        some = files[start : start + _AT_ONCE]
        yield Part(origin, len(some), lambda some=some: examined(some, look=look, pool=pool))

    yield Corpus(
      origin=origin,
      identity=digest.hexdigest(),
      size=len(files),
      parts=parts,
      holdout=holdout,
      unit=" files",
      info=info,
    )


def sounds_below(folder: Path, *suffixes: str) -> list[Path]:
  """The sound files below a folder, in order; links are passed over."""
  found = (path for suffix in suffixes for path in folder.rglob(f"*{suffix}"))
  return sorted(path for path in found if path.is_file() and not path.is_symlink())
