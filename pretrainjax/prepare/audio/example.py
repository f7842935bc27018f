"""A sound on its way from a source to a dataset."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int16

from pretrainjax.prepare.contract import Remark


class Facts(NamedTuple):
  """What is said of a sound file, in tables or by its name.

  Attributes:
    label: the name of its class; None without one.
    text: its transcript; None without one.
    split: the name of its split; None where nothing says it.
    strings: further fields by name, such as "speaker".
  """

  label: str | None = None
  text: str | None = None
  split: str | None = None
  strings: Mapping[str, str] = {}


class Sound(NamedTuple):
  """One sound, as its source has it.

  Attributes:
    key: unique in the dataset; for files the path relative to the root, of a piece with its place.
    audio: its samples, one channel at 16 kHz.
    facts: what is said of it; its split is told.
    group: sounds of one group come into one split.
    remarks: what a person is told of it.
  """

  key: str
  audio: Int16[np.ndarray, " S"]
  facts: Facts
  group: str | None = None
  remarks: tuple[Remark, ...] = ()

  @property
  def digest(self) -> bytes:
    """128 bits of BLAKE2 over the samples: equal sounds have equal digests."""
    return hashlib.blake2b(np.ascontiguousarray(self.audio), digest_size=16).digest()
