"""Letters and syllables of KLettres, a game for children, spoken in about 20 languages."""

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

PACKAGE, _SOUNDS = "klettres-data", "usr/share/klettres"
_KINDS = {"letters": ("alpha",), "syllables": ("syllab",), "both": ("alpha", "syllab")}
_INFO = {
  "description": "Spoken letters and syllables of KLettres (Debian: klettres-data).",
  "homepage": "https://apps.kde.org/klettres",
  "license": "GPL-2+",
}


@dataclasses.dataclass(frozen=True)
class Source:
  """The source of the letters, one file each; features "language", "kind" and "letter" beside.

  Attributes:
    source: folder that the package was unpacked into; None looks where it is installed, then
      downloads it without root.
    name: the name of the dataset to be made.
    languages: the languages that are read, "de" for one; () reads all.
    kind: which sounds are read.
    label: what is the class: the "letter", or the "language".
    test_fraction: the share that is held out, of each class that has enough.
    seed: the seed of that choice.
    look: what is kept of the sounds.
  """

  source: str | None = None
  name: str = "klettres"
  languages: tuple[str, ...] = ()
  kind: Literal["letters", "syllables", "both"] = "both"
  label: Literal["none", "letter", "language"] = "none"
  test_fraction: Rate = 0.1
  seed: Seed = 0
  look: Look = Look()

  preparation = AudioPreparation()

  def __post_init__(self):
    check_name(self.name)
    check_ranges(self)

  def open(self, data_dir: Path) -> AbstractContextManager[Corpus]:
    """Yields the letters and syllables.

    Raises:
      UserError: where no place has the package, or a language is none.
    """
    how = {"look": self.look, "holdout": held_out(self.test_fraction, self.seed), "info": _INFO}
    return package_corpus(self.source, PACKAGE, _SOUNDS, self._files, **how)

  def _files(self, folder: Path) -> Iterator[SoundFile]:
    for path in sounds_below(folder, ".ogg"):
      parts = path.relative_to(folder).parts
      language, kind = parts[0], parts[1] if len(parts) == 3 else ""
      if (self.languages and language not in self.languages) or kind not in _KINDS[self.kind]:
        continue
      strings = {"language": language, "kind": kind, "letter": path.stem}
      yield SoundFile(path, "/".join(parts), Facts(strings.get(self.label), strings=strings))
