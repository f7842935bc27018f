"""Sounds that say which they are, as files and as prepared datasets."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.prepare.audio.example import Facts, Sound
from pretrainjax.prepare.audio.preparation import AudioPreparation
from pretrainjax.prepare.contract import Corpus, Part
from pretrainjax.prepare.job import Job, write_dataset
from pretrainjax.prepare.stages.holdout import Stratified


def tone(index: int, seconds: float = 0.2, *, rate: int = 16_000) -> np.ndarray:
  """A tone of (index + 1) * 100 Hz, float32 "S"."""
  time = np.arange(round(seconds * rate)) / rate
  return (0.3 * np.sin(2 * np.pi * 100 * (index + 1) * time + 0.1)).astype(np.float32)


def write_wav(path: Path, sound: np.ndarray, *, rate: int = 16_000, **options: Any) -> Path:
  """Writes a file, and the folders that it lies in."""
  path.parent.mkdir(parents=True, exist_ok=True)
  soundfile.write(path, sound, rate, **options)
  return path


def counting(index: int, samples: int) -> Sound:
  """A sound whose samples are index * 100 + 1, index * 100 + 2 and so on."""
  audio = (index * 100 + 1 + np.arange(samples)).astype(np.int16)
  return Sound(f"{index:04d}", audio, Facts(split="train"))


@dataclasses.dataclass(frozen=True)
class InMemory:
  """A source of sounds that are there."""

  name: str
  sounds: Sequence[Any]
  fraction: float = 0.0

  preparation = AudioPreparation()

  @contextlib.contextmanager
  def open(self, data_dir: Path) -> Iterator[Corpus]:
    """Yields them."""
    part = Part("all", len(self.sounds), lambda: iter(self.sounds))
    holdout = Stratified(self.fraction, 0) if self.fraction else None
    yield Corpus("a test", "", len(self.sounds), lambda: iter([part]), holdout=holdout)


def write(
  name: str,
  data_dir: Path,
  sounds: Sequence[Any],
  *,
  fraction: float = 0.0,
  preparation: AudioPreparation | None = None,
) -> Path:
  """Writes DATA_DIR/NAME with these sounds; returns its folder."""
  source = InMemory(name, sounds, fraction)
  job = Job(source, preparation or source.preparation, max_dropped=1.0)
  return write_dataset(job, data_dir=data_dir, source_facts={"name": name})


def keys(name: str, split: str, data_dir: Path) -> list[str]:
  """The keys of a split's records, sorted."""
  source = PreparedSplit(name, split, data_dir)
  records = source.records(range(len(source)))
  return sorted(r["filename"].bytes_list.value[0].decode() for r in records)


def text_of(name: str, feature: str, split: str, data_dir: Path) -> dict[str, str]:
  """A feature of a split's records by their keys."""
  source = PreparedSplit(name, split, data_dir)
  records = source.records(range(len(source)))
  names = ("filename", feature)
  pairs = ([r[n].bytes_list.value[0].decode() for n in names] for r in records)
  return dict(sorted(pairs))
