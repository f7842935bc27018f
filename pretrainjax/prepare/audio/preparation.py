"""What is done to sounds: compared between splits, held out, ordered; transcripts become tokens."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

from pretrainjax.data.transcripts import Rule, normalized
from pretrainjax.errors import UserError
from pretrainjax.prepare.audio.example import Sound
from pretrainjax.prepare.audio.table import AudioTable, SoundRow
from pretrainjax.prepare.audio.told import facts, lists
from pretrainjax.prepare.audio.transcripts import TOKENIZER, Transcripts, transcripts_of
from pretrainjax.prepare.contract import Encoded, Opened, Size
from pretrainjax.prepare.stages.appended import Appended
from pretrainjax.prepare.stages.tally import Tally
from pretrainjax.prepare.text.training import Tokenization, existing
from pretrainjax.user_path import user_path

_FILE = "sounds.bin"
_STAGE, _HELD_OUT = "settle", "held out"
# Features that are ours; further strings have other names.
RESERVED = frozenset(("audio", "filename", "label", "text", "tokens", "group_id"))


@dataclasses.dataclass(frozen=True)
class AudioPreparation:
  """The settings by which a dataset of sounds is prepared.

  Attributes:
    drop_duplicates: whether training sounds whose samples stand in another split too are left out;
      they are reported either way.
    transcript: the rule that transcripts are normalised by before they become tokens, see
      `pretrainjax.data.transcripts`; the text is stored as it is.
    tokenizer: the tokenizer of the transcripts.
  """

  drop_duplicates: bool = False
  transcript: Rule = "words"
  tokenizer: Tokenization = Tokenization(kind="characters", num_sentinels=0)

  noun = "sound"
  unreadable = "sounds cannot be decoded"

  def settings(self) -> dict[str, Any]:
    """Plain data that says what is done to the sounds of the source.

    Raises:
      UserError: for a tokenizer that is not there.
    """
    options = dataclasses.asdict(self.tokenizer)
    path = options.pop("path")
    if path is not None:  # where it lies and how it was made do not matter
      options = {"fingerprint": existing(user_path(path)).fingerprint}
    plain = {"drop_duplicates": self.drop_duplicates, "transcript": self.transcript}
    return plain | {"tokenizer": {"trained": path is None} | options}

  def tally(self, facts: Mapping[str, Any]) -> Tally:
    """Counts, empty or as a journal kept them."""
    return Tally(**facts)

  def collector(self, opened: Opened, files: Appended) -> "AudioCollector":
    """Keeps the samples in one file, and what is known of the sounds in a table."""
    return AudioCollector(opened, files, rule=self.transcript)

  def encode(self, opened: Opened) -> Encoded:
    """Decides which sound is in which split and place; records are made as they are written."""
    table, journal = AudioTable(opened.journal.database), opened.journal
    class_names = journal.get(_STAGE)
    if class_names is None:
      journal.begin()
      class_names = self._settle(table, opened)
      journal.put(_STAGE, class_names)
      journal.commit()  # all of it or nothing
    sizes = {split: Size(*size) for split, size in table.sizes().items()}
    if "train" not in sizes and "train" in opened.tally.kept:
      raise UserError(
        f"{opened.corpus.origin}: every training sound is in another split too; leave them in by "
        "--config.drop_duplicates=false"
      )
    spoken, _ = table.with_and_without_text()
    found = None
    if spoken is not None:
      found = transcripts_of(opened, table, options=self.tokenizer, rule=self.transcript)
    writer = _Writer(opened, table, class_names, found)
    report = facts(table, opened.corpus, held_out=journal.get(_HELD_OUT, "own splits"))
    report |= {"classes": len(class_names)} | (found.facts(table.texts()) if found else {})
    return Encoded(
      splits=sizes,
      features=writer.features(),
      records=writer.records,
      report=report,
      texts=lists(table) | ({TOKENIZER: iter([found.tokenizer.text])} if found else {}),
      info={
        "description": "Sound at 16 kHz, written by pretrainjax; prepared.json says from what."
      },
    )

  def _settle(self, table: AudioTable, opened: Opened) -> list[str]:
    """Names the classes, and fills in what can be known only when all sounds were heard."""
    corpus = opened.corpus
    for what, hint, (having, bare) in (
      ("class", "labels=none", table.with_and_without_class()),
      ("transcript", "transcripts=false", table.with_and_without_text()),
    ):
      if having is not None and bare is not None:
        raise UserError(
          f"{corpus.origin}: holds sounds with a {what} ({having}) and without ({bare}); move "
          f"them, or leave it out by --config.source.{hint}"
        )
    class_names = corpus.class_names if corpus.class_names is not None else table.class_names()
    if corpus.holdout is not None:
      opened.journal.put(_HELD_OUT, table.hold_out(corpus.holdout, class_names))
    table.find_duplicates()
    if self.drop_duplicates:
      table.drop_duplicates()
    table.shuffle()
    table.group_numbers()
    return list(class_names)


class AudioCollector:
  """Keeps every sound that comes, but one whose transcript has no word."""

  def __init__(self, opened: Opened, files: Appended, *, rule: Rule):
    self._files, self._tally, self._rule = files, opened.tally, rule
    self._table = AudioTable(opened.journal.database)

  def drop(self, key: str, reason: str) -> None:
    """Notes what is left out, all of it."""
    self._table.drop(key, reason)

  def take(self, example: Sound) -> str | None:
    """Keeps a sound, or says why not."""
    text = example.facts.text
    if text is not None and not normalized(text, self._rule):
      return "no word in its transcript"
    said = example.facts._replace(split=example.facts.split or "train")
    offset = self._files.append(_FILE, example.audio.tobytes())
    self._table.add(example._replace(facts=said), offset)
    self._tally.keep(said.split)
    return None


class _Writer:
  """Makes records as tfds would write them."""

  def __init__(
    self,
    opened: Opened,
    table: AudioTable,
    class_names: list[str],
    transcripts: Transcripts | None,
  ):
    self._path, self._table, self._transcripts = opened.folder / _FILE, table, transcripts
    self._class_names = class_names
    self._strings = table.string_names()
    self._has_groups = table.has_groups

  def features(self) -> dict[str, Any]:
    """The features of all records."""
    found: dict[str, Any] = {"audio": _tensor(np.int16), "filename": tfds.features.Text()}
    if self._class_names:
      found["label"] = tfds.features.ClassLabel(names=self._class_names)
    if self._transcripts is not None:
      found |= {"text": tfds.features.Text(), "tokens": _tensor(self._transcripts.dtype)}
    if self._has_groups:
      found["group_id"] = tfds.features.Scalar(np.int64)
    return found | {name: tfds.features.Text() for name in self._strings}

  def records(self, split: str, done: int) -> Iterator[bytes]:
    """The records of a split but the first so many."""
    numbers = {name: number for number, name in enumerate(self._class_names)}
    with open(self._path, "rb") as file:
      for row in self._table.sounds(split, start=done):
        data = os.pread(file.fileno(), row.size, row.offset)
        values = self._values(row, data)
        if row.label is not None:
          values["label"] = _of_int(numbers[row.label])
        features = tf_feature_pb2.Features(feature=values)
        yield tf_example_pb2.Example(features=features).SerializeToString(deterministic=True)

  def _values(self, row: SoundRow, data: bytes) -> dict[str, tf_feature_pb2.Feature]:
    values = {"audio": _of_bytes(data), "filename": _of_bytes(row.key.encode())}
    for name in self._strings:
      values[name] = _of_bytes(row.strings.get(name, "").encode())
    if self._transcripts is not None and row.text is not None:
      values["text"] = _of_bytes(row.text.encode())
      values["tokens"] = _of_bytes(self._transcripts.packed(row.text))
    if self._has_groups:
      values["group_id"] = _of_int(self._table.number_of(row.group))
    return values


def _tensor(dtype: Any) -> tfds.features.Tensor:
  return tfds.features.Tensor(shape=(None,), dtype=dtype, encoding=tfds.features.Encoding.BYTES)


def _of_bytes(data: bytes) -> tf_feature_pb2.Feature:
  return tf_feature_pb2.Feature(bytes_list=tf_feature_pb2.BytesList(value=[data]))


def _of_int(value: int) -> tf_feature_pb2.Feature:
  return tf_feature_pb2.Feature(int64_list=tf_feature_pb2.Int64List(value=[value]))
