"""A folder of sound files, with transcripts, with classes, or without either."""

import contextlib
import dataclasses
import itertools
import os
import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

from pretrainjax.data.sound import needs_audio
from pretrainjax.data.sound_header import HEAD, READABLE, format_of
from pretrainjax.errors import UserError, printable
from pretrainjax.prepare.audio.check import SoundFile, examined
from pretrainjax.prepare.audio.columns import AudioFields
from pretrainjax.prepare.audio.example import Facts, Sound
from pretrainjax.prepare.audio.look import Look
from pretrainjax.prepare.audio.metadata import KALDI, TABLES, Metadata, path_of, read_metadata
from pretrainjax.prepare.audio.preparation import RESERVED, AudioPreparation
from pretrainjax.prepare.contract import Corpus, Part, Unreadable
from pretrainjax.prepare.files.layout import Layout, find_layout, parse_meanings
from pretrainjax.prepare.files.walk import File, Listing, open_listing
from pretrainjax.prepare.stages.holdout import Stratified
from pretrainjax.prepare.stages.place import check_name
from pretrainjax.ranges import PositiveInt, Rate, Seed, check_ranges
from pretrainjax.untrusted import open_file
from pretrainjax.user_path import user_path

# Files of other names are taken where they begin as sound does.
SUFFIXES = frozenset(
  (
    ".wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .w64 .rf64 .caf .sph .gsm"
  ).split()
)
_AT_ONCE = 500  # files of a part
_FOLDER = "folder"


@dataclasses.dataclass(frozen=True)
class Source:
  """Reads every sound file below a folder: .wav, .flac, .ogg, .opus, .mp3 and more.

  What is said of them stands in tables that name them (.jsonl, .json, .csv, .tsv, .parquet; Common
  Voice's and LJSpeech's too), in a .txt or .lab beside, in LibriSpeech's .trans.txt, or in Kaldi's
  wav.scp, text and utt2spk.

  Attributes:
    root: the folder that holds them all.
    name: the name of the dataset, in small letters, digits and underscores.
    transcripts: whether transcripts are looked for.
    labels: "auto" takes a class that a table names, else, where there are no transcripts either,
      that of the folder; "folders" takes the folder's, "none" leaves classes out.
    fields: which column of a table is what; where none is named it is guessed, and told.
    split_by: a field such as "speaker": sounds of one value come into one split. "auto" is the
      speaker, where several are named; "folder" the folder that a file lies in; "file" the file.
    test_fraction: the share that is held out by `seed` where there are no splits, of each class
      where there are classes.
    seed: the seed of that choice.
    split_names: what folders are, "fold1=test" each: train, validation, test, class or none.
    class_level: the folder that names the class, counted from 1 below the root and without those of
      splits; None finds it.
    follow_links: whether links out of the folder and linked folders are followed.
    look: what is kept of the sounds.
  """

  root: str = ""
  name: str = "sounds"
  transcripts: bool = True
  labels: Literal["auto", "folders", "none"] = "auto"
  fields: AudioFields = AudioFields()
  split_by: str = "auto"
  test_fraction: Rate = 0.1
  seed: Seed = 0
  split_names: tuple[str, ...] = ()
  class_level: PositiveInt | None = None
  follow_links: bool = False
  look: Look = Look()

  preparation = AudioPreparation()

  def __post_init__(self):
    check_name(self.name)
    check_ranges(self)
    parse_meanings(self.split_names)
    for name in self.fields.keep:
      if name in RESERVED or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ValueError(f"fields.keep: found '{name}', expected a name that is not taken")

  @contextlib.contextmanager
  def open(self, data_dir: Path) -> Iterator[Corpus]:
    """Yields all sounds below the folder.

    Raises:
      UserError: for a folder that is not there or holds no sound.
    """
    needs_audio()
    root = user_path(self.root)
    if not self.root or not os.path.isdir(root):  # Path's own raises for a name that is too long
      raise UserError(f"--source: '{self.root}' is no folder")
    with (
      open_listing(
        suffixes=(*SUFFIXES, *TABLES),
        what="sound",
        by_content=why_no_sound,
        follow_links=self.follow_links,
      ) as listing,
      contextlib.closing(sqlite3.connect("", check_same_thread=False)) as database,
      ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
      listing.add(root)
      metadata = self._metadata(root, listing, database)
      told = _Told(self, root, metadata, self._layout(root, listing))
      yield Corpus(
        origin=str(root),
        identity=listing.identity(),
        size=listing.num_items,
        parts=lambda: told.parts(listing, pool),
        holdout=Stratified(self.test_fraction, self.seed) if self.test_fraction else None,
        unit=" files",
        report={"split_by": told.split_by},
        notes=tuple(metadata.notes),
      )

  def _metadata(self, root: Path, listing: Listing, database: sqlite3.Connection) -> Metadata:
    metadata, tables = Metadata(database, root), []
    for file in _files(listing):
      if _is_sound(file.path):
        metadata.add_sound(path_of(file.path))
      else:
        tables.append(path_of(file.path))
    metadata.index()
    if not any(_is_sound(file.path) for file in _files(listing)):
      raise UserError(f"--source: '{root}' holds no sound file ({listing.num_items:,} passed over)")
    if self.transcripts or self.labels == "auto" or self.split_by not in ("auto", "folder", "file"):
      read_metadata(metadata, tables, fields=self.fields)
    return metadata

  def _layout(self, root: Path, listing: Listing) -> Layout:
    folders = {file.path.parts[:-1] for file in _files(listing) if _is_sound(file.path)}
    meanings = parse_meanings(self.split_names)
    return find_layout(folders, root=str(root), meanings=meanings, class_level=self.class_level)


class _Told(NamedTuple):
  """What is known of each file before it is decoded."""

  source: Source
  root: Path
  metadata: Metadata
  layout: Layout

  @property
  def split_by(self) -> str:
    """What decides the split of a file."""
    if self.source.split_by != "auto":
      return self.source.split_by
    return "speaker" if self.metadata.num_values("speaker") > 1 else "file"

  @property
  def has_text(self) -> bool:
    """Whether sounds have transcripts."""
    return self.source.transcripts and "text" in self.metadata.has

  @property
  def takes_folders(self) -> bool:
    """Whether the folder is the class."""
    if self.source.labels == "auto":
      return not self.has_text and "label" not in self.metadata.has
    return self.source.labels == "folders"

  def parts(self, listing: Listing, pool: ThreadPoolExecutor) -> Iterator[Part]:
    """The files, some a part; what is wrong with tables comes first."""
    items, split_by = listing.items(), self.split_by
    yield Part(str(self.root), 0, self.metadata.wrong)
    while some := list(itertools.islice(items, _AT_ONCE)):

      def records(some: list[File | Unreadable] = some) -> Iterator[Sound | Unreadable]:
        found = (i if isinstance(i, Unreadable) else self._file(i, split_by) for i in some)
        sounds = [item for item in found if item is not None]
        return examined(sounds, look=self.source.look, pool=pool)

      yield Part(str(self.root), len(some), records)

  def _file(self, file: File, split_by: str) -> SoundFile | Unreadable | None:
    if not _is_sound(file.path):
      return None
    key = printable(path_of(file.path))
    if (placed := self.layout.place(file.path.parts[:-1])) is None:
      return Unreadable(key, "left out by split_names", fault=False)
    facts = self.metadata.facts_of(path_of(file.path)) or Facts()
    if self.has_text and facts.text is None:
      return Unreadable(key, "without a transcript", fault=False)
    if "split" in self.metadata.has and facts.split is None:
      return Unreadable(key, "in no split, as others are", fault=False)
    label = facts.label if self.source.labels != "none" else None
    if self.takes_folders:
      label = printable(placed[1]) if placed[1] is not None else None
    facts = facts._replace(
      label=label, text=facts.text if self.has_text else None, split=facts.split or placed[0]
    )
    group = self._group(file, facts, split_by)
    if group == "":
      return Unreadable(key, f"without '{split_by}'", fault=False)
    return SoundFile(self.root / file.path, key, facts, group)

  def _group(self, file: File, facts: Facts, split_by: str) -> str | None:
    """What it is kept together with; None for nothing else, "" where that is not known."""
    if split_by == "file":
      return None
    if split_by == _FOLDER:
      return printable(path_of(file.path.parent)) or "."
    named = {"label": facts.label, "text": facts.text} | dict(facts.strings)
    return named.get(split_by) or ""


def _files(listing: Listing) -> Iterator[File]:
  return (item for item in listing.items() if isinstance(item, File))


def _is_sound(path: Path) -> bool:
  """Whether a listed file is a sound file: whatever is no table by its name."""
  return path.suffix.lower() not in TABLES and path.name not in KALDI


def why_no_sound(path: Path) -> str | None:
  """Why a file without a sound's name is none; None where it begins as one, and for Kaldi's."""
  if path.name in KALDI:
    return None
  with open_file(path) as file:
    found = format_of(file.read(HEAD))
  if found in READABLE:
    return None
  return "no sound by its name" if found is None else f"format that is not read: {found}"
