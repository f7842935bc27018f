"""Words of KTuberling, a game for children: things of its pictures, named in about 25 languages."""

import dataclasses
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

from pretrainjax.prepare.audio.check import SoundFile
from pretrainjax.prepare.audio.example import Facts
from pretrainjax.prepare.audio.look import Look
from pretrainjax.prepare.audio.packaged import held_out, package_corpus, sounds_below
from pretrainjax.prepare.audio.preparation import AudioPreparation
from pretrainjax.prepare.contract import Corpus
from pretrainjax.prepare.stages.place import check_name
from pretrainjax.ranges import Rate, Seed, check_ranges

PACKAGE, _SOUNDS = "ktuberling-data", "usr/share/ktuberling/sounds"
_INFO = {
  "description": "Spoken words of KTuberling (Debian: ktuberling-data).",
  "homepage": "https://apps.kde.org/ktuberling",
  "license": "GPL-2+",
}


@dataclasses.dataclass(frozen=True)
class Source:
  """The source of the words, one file each; features "language" and "word" (in English) beside.

  Attributes:
    source: folder that the package was unpacked into; None looks where it is installed, then
      downloads it without root.
    name: the name of the dataset to be made.
    languages: the languages that are read, "de" for one; () reads all.
    label: what is the class: the "word", by its English name, or the "language".
    test_fraction: the share that is held out, of each class that has enough.
    seed: the seed of that choice.
    look: what is kept of the sounds.
  """

  source: str | None = None
  name: str = "ktuberling"
  languages: tuple[str, ...] = ()
  label: Literal["none", "word", "language"] = "none"
  test_fraction: Rate = 0.1
  seed: Seed = 0
  look: Look = Look()

  preparation = AudioPreparation()

  def __post_init__(self):
    check_name(self.name)
    check_ranges(self)

  def open(self, data_dir: Path) -> AbstractContextManager[Corpus]:
    """Yields the words.

    Raises:
      UserError: where no place has the package, or a language is none.
    """
    how = {"look": self.look, "holdout": held_out(self.test_fraction, self.seed), "info": _INFO}
    return package_corpus(self.source, PACKAGE, _SOUNDS, self._files, **how)

  def _files(self, folder: Path) -> Iterator[SoundFile]:
    for path in sounds_below(folder, ".ogg", ".wav"):
      key = path.relative_to(folder).as_posix()
      language = key.split("/")[0]
      if self.languages and language not in self.languages:
        continue
      strings = {"language": language, "word": path.stem}
      yield SoundFile(path, key, Facts(label=strings.get(self.label), strings=strings))
