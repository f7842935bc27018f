"""What a raw dataset holds before anything is written: the examples kept, and those not."""

import collections
import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Int, UInt8


class Entry(NamedTuple):
  """One example to be written.

  Attributes:
    key: unique in its split; for files the path relative to the root.
    image: the pixels, or the file that holds them encoded.
    label: index into the class names; None for a dataset without labels.
    digest: of the decoded pixels, see `pixel_digest`.
  """

  key: str
  image: np.ndarray | Path
  label: int | None
  digest: bytes

  def encoded(self) -> bytes:
    """The image as a file's bytes: as they are on disk, or losslessly as PNG."""
    if isinstance(self.image, Path):
      return self.image.read_bytes()
    pixels = self.image if self.image.shape[2] == 1 else self.image[:, :, ::-1]  # OpenCV is BGR
    _, png = cv2.imencode(".png", pixels)
    return png.tobytes()


class Dropped(NamedTuple):
  """One file or example that is not written, and why, in a few words that can be counted."""

  key: str
  reason: str


@dataclasses.dataclass(frozen=True)
class Collected:
  """A raw dataset.

  Attributes:
    splits: the examples of each split, in a fixed order.
    class_names: one a label; empty for a dataset without labels.
    image_shape: height, width (None where they vary) and channels.
    origin: where it was found, for the report.
    dropped: what was left out.
    unreadable: how many of `dropped` could not be decoded; too many fail the run.
  """

  splits: dict[str, list[Entry]]
  class_names: tuple[str, ...]
  image_shape: tuple[int | None, int | None, int]
  origin: str
  dropped: tuple[Dropped, ...] = ()
  unreadable: int = 0


class Duplicate(NamedTuple):
  """An example whose pixels are also in another split."""

  split: str
  key: str
  other_split: str
  other_key: str


def pixel_digest(image: UInt8[np.ndarray, "H W C"]) -> bytes:
  """128 bits of BLAKE2 over shape and pixels: equal images have equal digests, however encoded."""
  digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
  digest.update(np.ascontiguousarray(image))
  return digest.digest()


def array_entries(
  images: UInt8[np.ndarray, "B H W C"],
  labels: Int[np.ndarray, " B"] | UInt8[np.ndarray, " B"],
  *,
  prefix: str,
) -> list[Entry]:
  """Entries of images in memory, with keys "PREFIX/00042"."""
  return [
    Entry(f"{prefix}/{i:05d}", image, int(label), pixel_digest(image))
    for i, (image, label) in enumerate(zip(images, labels, strict=True))
  ]


def duplicates_between_splits(splits: dict[str, list[Entry]]) -> list[Duplicate]:
  """Examples of the first split whose pixels are also in a later one, and so on for each split."""
  found = []
  names = list(splits)
  for position, name in enumerate(names):
    later: dict[bytes, tuple[str, str]] = {}
    for other in names[position + 1 :]:
      for entry in splits[other]:
        later.setdefault(entry.digest, (other, entry.key))
    for entry in splits[name]:
      if entry.digest in later:
        found.append(Duplicate(name, entry.key, *later[entry.digest]))
  return found


def without_train_duplicates(collected: Collected, duplicates: list[Duplicate]) -> Collected:
  """Leaves the training examples out that another split holds too; test sets stay as they are."""
  doomed = {d.key for d in duplicates if d.split == "train"}
  if not doomed:
    return collected
  kept = [entry for entry in collected.splits["train"] if entry.key not in doomed]
  reason = "same pixels as an example of another split"
  dropped = tuple(Dropped(f"train: {key}", reason) for key in sorted(doomed))
  return dataclasses.replace(
    collected,
    splits=collected.splits | {"train": kept},
    dropped=collected.dropped + dropped,
  )


def count_reasons(dropped: Iterable[Dropped]) -> dict[str, int]:
  """How many were dropped for each reason, most frequent first."""
  return dict(collections.Counter(d.reason for d in dropped).most_common())


def stratified_holdout(labels: np.ndarray, *, fraction: float, seed: int) -> np.ndarray:
  """Chooses round(fraction * n) of each class; True is held out.

  Args:
    labels: "N", any integers.
    fraction: in [0, 1).
    seed: of the choice, which depends on nothing else.
  """
  held_out = np.zeros(len(labels), bool)
  for label in np.unique(labels):
    members = np.flatnonzero(labels == label)
    rng = np.random.Generator(np.random.Philox(key=[seed, int(label)]))
    held_out[rng.permutation(members)[: round(fraction * len(members))]] = True
  return held_out
