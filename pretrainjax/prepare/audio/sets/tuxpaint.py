"""Captions of the stamps of Tux Paint, spoken in 13 languages, with what is said.

The words are those of the caption beside, which the voice need not follow to the letter: of 14
English ones that were listened to, none has the article in it.
"""

import dataclasses
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

from pretrainjax.data.transcripts import normalized
from pretrainjax.prepare.audio.check import SoundFile
from pretrainjax.prepare.audio.example import Facts
from pretrainjax.prepare.audio.look import Look
from pretrainjax.prepare.audio.packaged import held_out, package_corpus, sounds_below
from pretrainjax.prepare.audio.preparation import AudioPreparation
from pretrainjax.prepare.contract import Corpus
from pretrainjax.prepare.stages.place import check_name
from pretrainjax.ranges import Rate, Seed, check_ranges
from pretrainjax.untrusted import BadFile, read_text

PACKAGE, _STAMPS = "tuxpaint-stamps-default", "usr/share/tuxpaint/stamps"
_SPOKEN = re.compile(r"(?P<stamp>.+)_desc(?:_(?P<language>[A-Za-z@_]+))?")
_ENGLISH = "en"
_ARTICLE = re.compile(r"^(?:an?|the)\s+", re.IGNORECASE)
_LONGEST = 1 << 18  # bytes of a file of captions
_INFO = {
  "description": "Spoken captions of Tux Paint's stamps (Debian: tuxpaint-stamps-default).",
  "homepage": "https://tuxpaint.org",
  "license": "GPL-2+",
}


@dataclasses.dataclass(frozen=True)
class Source:
  """The source of the captions, one file each; "language", "stamp" and "category" beside.

  Attributes:
    source: folder that the package was unpacked into; None looks where it is installed, then
      downloads it without root.
    name: the name of the dataset to be made.
    languages: the languages that are read, "en" for one; () reads all.
    transcripts: whether captions that have their words are read, with them; else all are read,
      without.
    articles: whether the article that English captions begin with stays.
    label: what is the class: the "language", or the "category" of the stamp.
    split_by: what comes into one split: the same "phrase" of a language, all languages of a
      "stamp", or nothing ("file").
    test_fraction: the share that is held out.
    seed: the seed of that choice.
    look: what is kept of the sounds.
  """

  source: str | None = None
  name: str = "tuxpaint"
  languages: tuple[str, ...] = ()
  transcripts: bool = True
  articles: bool = False
  label: Literal["none", "language", "category"] = "none"
  split_by: Literal["phrase", "stamp", "file"] = "phrase"
  test_fraction: Rate = 0.1
  seed: Seed = 0
  look: Look = Look()

  preparation = AudioPreparation()

  def __post_init__(self):
    check_name(self.name)
    check_ranges(self)

  def open(self, data_dir: Path) -> AbstractContextManager[Corpus]:
    """Yields the captions.

    Raises:
      UserError: where no place has the package, or a language is none.
    """
    how = {"look": self.look, "holdout": held_out(self.test_fraction, self.seed), "info": _INFO}
    return package_corpus(self.source, PACKAGE, _STAMPS, self._files, **how)

  def _files(self, folder: Path) -> Iterator[SoundFile]:
    for path in sounds_below(folder, ".ogg", ".wav"):
      spoken = _SPOKEN.fullmatch(path.stem)
      language = (spoken["language"] or _ENGLISH) if spoken else ""
      if not spoken or (self.languages and language not in self.languages):
        continue
      stamp = path.with_name(spoken["stamp"]).relative_to(folder).as_posix()
      text = self._caption(path.with_name(f"{spoken['stamp']}.txt"), language)
      if self.transcripts and text is None:
        continue
      strings = {"language": language, "stamp": stamp, "category": stamp.split("/")[0]}
      phrase = f"{language} {normalized(text, 'words')}" if text else stamp
      group = {"phrase": phrase, "stamp": stamp, "file": None}[self.split_by]
      facts = Facts(strings.get(self.label), text if self.transcripts else None, None, strings)
      yield SoundFile(path, path.relative_to(folder).as_posix(), facts, group)

  def _caption(self, path: Path, language: str) -> str | None:
    """The caption of a stamp in a language; None without."""
    try:
      lines = read_text(path, limit=_LONGEST).splitlines()
    except BadFile:
      return None
    if language == _ENGLISH:
      text = lines[0].strip() if lines else ""
      return (text if self.articles else _ARTICLE.sub("", text)) or None
    begins = f"{language}.utf8="
    found = (line[len(begins) :].strip() for line in lines if line.startswith(begins))
    return next(found, None) or None
