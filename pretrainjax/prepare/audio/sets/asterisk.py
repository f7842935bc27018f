"""Prompts of the Asterisk telephone exchange, spoken in five languages, at 8 kHz.

One voice a language, so that what tells languages apart may tell voices apart; of Spanish, French
and Italian there is a second voice that says many of the same prompts. The packages have no
transcripts: what a machine wrote down can be read beside.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from pretrainjax.errors import UserError
from pretrainjax.prepare.audio.check import SoundFile
from pretrainjax.prepare.audio.example import Facts
from pretrainjax.prepare.audio.look import Look
from pretrainjax.prepare.audio.metadata import facts_in_table
from pretrainjax.prepare.audio.packaged import (
  held_out,
  package_folders,
  sound_corpus,
  sounds_below,
)
from pretrainjax.prepare.audio.preparation import AudioPreparation
from pretrainjax.prepare.contract import Corpus, Unreadable
from pretrainjax.prepare.stages.place import check_name
from pretrainjax.ranges import Rate, Seed, check_ranges
from pretrainjax.user_path import user_path

_SOUNDS = "usr/share/asterisk/sounds"
_WORDS = ("digits", "letters", "phonetic")
_INFO = {
  "description": "Prompts of Asterisk (Debian): asterisk-core-sounds and asterisk-prompt.",
  "homepage": "https://www.asterisk.org",
  "license": "CC-BY-SA-3.0 (it, ru: CC-BY-3.0; second voices of fr and es: GPL)",
}
Language = Literal["en", "es", "fr", "it", "ru"]


class Voice(NamedTuple):
  """One voice: its language, its name, and where it is."""

  language: str
  speaker: str
  package: str
  folder: str


FIRST = (
  Voice("en", "allison_en", "asterisk-core-sounds-en-wav", "en_US_f_Allison"),
  Voice("es", "allison_es", "asterisk-core-sounds-es-wav", "es_MX_f_Allison"),
  Voice("fr", "june", "asterisk-core-sounds-fr-wav", "fr_CA_f_June"),
  Voice("it", "carlo", "asterisk-core-sounds-it-wav", "it_IT_m_Carlo"),
  Voice("ru", "ivrvoice", "asterisk-core-sounds-ru-wav", "ru_RU_f_IvrvoiceRU"),
)
SECOND = (
  Voice("es", "es_co", "asterisk-prompt-es-co", "es"),
  Voice("fr", "armelle", "asterisk-prompt-fr-armelle", "fr"),
  Voice("it", "menardi", "asterisk-prompt-it-menardi-wav", "it_IT_f_Menardi"),
)


@dataclasses.dataclass(frozen=True)
class Source:
  """The source of the prompts, one file each; features "language", "speaker" and "prompt" beside.

  Attributes:
    source: folder that the packages were unpacked into; None looks where they are installed, then
      downloads them without root.
    name: the name of the dataset to be made.
    languages: the languages that are read.
    voices: the "first" voice of each language, the "second" of those that have one, or "both".
    subset: "all" prompts, those that are one word ("words": the three that follow), or the folder
      "digits", "letters" or "phonetic".
    label: what is the class: the "prompt" by its name, "digits/1", which is alike in all languages,
      the "language" or the "speaker".
    transcripts: a table of what one voice says, as `predict transcribe --out=TABLE.jsonl` writes it
      of the voice's folder; prompts without a row are left out, and the stored "transcriber" says
      who wrote each. None has no transcripts.
    test_speakers: the voices that make the test split; () holds `test_fraction` out.
    test_fraction: the share that is held out, of each class that has enough.
    seed: the seed of that choice.
    look: what is kept of the sounds.
  """

  source: str | None = None
  name: str = "asterisk"
  languages: tuple[Language, ...] = ("en", "es", "fr", "it", "ru")
  voices: Literal["first", "second", "both"] = "first"
  subset: Literal["all", "words", "digits", "letters", "phonetic"] = "all"
  label: Literal["none", "prompt", "language", "speaker"] = "none"
  transcripts: str | None = None
  test_speakers: tuple[str, ...] = ()
  test_fraction: Rate = 0.1
  seed: Seed = 0
  look: Look = Look()

  preparation = AudioPreparation()

  def __post_init__(self):
    check_name(self.name)
    check_ranges(self)

  @contextlib.contextmanager
  def open(self, data_dir: Path) -> Iterator[Corpus]:
    """Yields the prompts, without silence.

    Raises:
      UserError: where no place has a package, or a speaker is none.
    """
    voices = self._voices()
    packages = {voice.package: f"{_SOUNDS}/{voice.folder}" for voice in voices}
    with package_folders(self.source, packages) as folders:
      found: list = [file for v in voices for file in self._files(v, folders[v.package])]
      if self.transcripts is not None:
        found = _with_transcripts(found, user_path(self.transcripts))
      fraction = 0.0 if self.test_speakers else self.test_fraction
      with sound_corpus(
        found,
        look=self.look,
        holdout=held_out(fraction, self.seed),
        origin=", ".join(packages),
        info=_INFO,
      ) as corpus:
        yield corpus

  def _voices(self) -> list[Voice]:
    of = {"first": FIRST, "second": SECOND, "both": (*FIRST, *SECOND)}[self.voices]
    voices = [voice for voice in of if voice.language in self.languages]
    names = [voice.speaker for voice in voices]
    if not voices or (missing := [name for name in self.test_speakers if name not in names]):
      raise UserError(
        f"--config.source.{'test_speakers' if voices else 'languages'}: found "
        f"{', '.join(missing if voices else self.languages) or 'none'}, expected some of "
        f"{', '.join(names) or 'es, fr, it'}"
      )
    if self.transcripts is not None and len(voices) > 1:
      raise UserError(
        f"--config.source.transcripts: found a table and {len(voices)} voices, expected one, as "
        "with --config.source.languages=en"
      )
    return voices

  def _files(self, voice: Voice, folder: Path) -> Iterator[SoundFile]:
    for path in sounds_below(folder, ".wav", ".gsm"):
      prompt = path.relative_to(folder).with_suffix("").as_posix()
      first = prompt.split("/")[0] if "/" in prompt else ""
      is_wanted = self.subset == "all" or first in (_WORDS if self.subset == "words" else ())
      if first == "silence" or not (is_wanted or first == self.subset):
        continue
      strings = {"language": voice.language, "speaker": voice.speaker, "prompt": prompt}
      split = None
      if self.test_speakers:
        split = "test" if voice.speaker in self.test_speakers else "train"
      facts = Facts(label=strings.get(self.label), split=split, strings=strings)
      yield SoundFile(path, f"{voice.speaker}/{prompt}{path.suffix}", facts)


def _with_transcripts(files: list[SoundFile], table: Path) -> list[SoundFile | Unreadable]:
  """The prompts with what a table says of them; a reason for each of which it says nothing."""
  names = [file.key.partition("/")[2] for file in files]  # without the voice
  told, found = facts_in_table(table, names), []
  for name, file in zip(names, files, strict=True):
    facts = told.get(name, Facts())
    if facts.text is None:
      found.append(Unreadable(file.key, "without a transcript", fault=False))
      continue
    strings = {**facts.strings, **file.facts.strings}
    found.append(file._replace(facts=file.facts._replace(text=facts.text, strings=strings)))
  return found
