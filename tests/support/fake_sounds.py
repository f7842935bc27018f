"""A tiny encoder of sound, and sounds in which each letter is a pattern of samples."""

import dataclasses
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from flax import nnx

from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.models.layers.drop import dropout
from pretrainjax.models.sound_encoder import SoundEncoder
from pretrainjax.types import Encoded

HOP = 8  # samples a frame
BLANK, BEGIN, END, FIRST = 0, 2, 3, 5  # of tokens; letters begin at FIRST
SPECIAL_IDS = (0, 1, 2, 3, 4)


class TinySound(SoundEncoder):
  """One feature for each HOP samples that are whole, pooled by the mean of real frames."""

  samples_per_frame = HOP

  def __init__(self, *, embed_dim: int = 16, rate: float = 0.0, rngs: nnx.Rngs):
    self.embed_dim, self.rate = embed_dim, rate
    self.linear = nnx.Linear(HOP, embed_dim, rngs=rngs)
    self.out = nnx.Linear(embed_dim, embed_dim, rngs=rngs)

  def __call__(self, inputs: tuple, *, keep=None, deterministic=True, rngs=None) -> Encoded:
    audio, num_samples = map(jnp.asarray, inputs)
    rows, samples = audio.shape
    x = audio.reshape(rows, samples // HOP, HOP).astype(jnp.float32) / 2**15
    x = self.out(jnp.tanh(self.linear(x)))
    x = dropout(x, rate=self.rate, deterministic=deterministic, rngs=rngs)
    valid = jnp.arange(x.shape[1])[None] < (num_samples // HOP)[:, None]
    total = jnp.sum(jnp.where(valid[..., None], x, 0.0), axis=1)
    return Encoded(x, total / jnp.maximum(valid.sum(axis=1), 1)[:, None], valid)


def pattern(letter: int) -> np.ndarray:
  """The samples of a frame in which a letter is said."""
  return np.random.default_rng(letter).integers(-20_000, 20_000, HOP).astype(np.int16)


def said(letters: list[int], *, frames: int = 1, pause: int = 1) -> np.ndarray:
  """The sound of letters, so many frames each, with a pause behind each."""
  parts = [np.tile(pattern(one), frames) for one in letters]
  silence = np.zeros(HOP * pause, np.int16)
  return np.concatenate([x for part in parts for x in (part, silence)] or [silence])


def spoken(
  count: int, *, num_letters: int = 4, longest: int = 4, num_frames: int = 12, seed: int = 0
) -> dict[str, np.ndarray]:
  """Sounds with transcripts of 0 to `longest` letters between [CLS] and [SEP], all padded."""
  rng = np.random.default_rng(seed)
  audio = np.zeros((count, num_frames * HOP), np.int16)
  tokens = np.zeros((count, longest + 3), np.int32)
  num_samples = np.zeros(count, np.int32)
  for row in range(count):
    letters = rng.integers(FIRST, FIRST + num_letters, row % (longest + 1)).tolist()
    sound = said(letters)
    audio[row, : len(sound)] = sound
    num_samples[row] = min(len(sound) + HOP * (row % 3) + row % HOP, audio.shape[1])
    tokens[row, : len(letters) + 2] = [BEGIN, *letters, END]
  segments = (tokens > 0).astype(np.int32)
  return {"audio": audio, "num_samples": num_samples, "tokens": tokens, "segments": segments}


@dataclasses.dataclass(frozen=True, eq=False)
class ArraySounds:
  """Arrays by name as a dataset of padded batches."""

  arrays: dict[str, np.ndarray] = dataclasses.field(repr=False)
  tokenizer: Tokenizer | None = dataclasses.field(default=None, repr=False)
  num_classes: int = 0
  split: str = "test"
  batch_size: int = 4

  arrays_with_views = ()

  @property
  def num_examples(self) -> int:
    return len(self.arrays["audio"])

  @property
  def class_names(self) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(self.num_classes))

  def has(self, name: str) -> bool:
    return name in self.arrays

  def one_pass(self) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, self.num_examples, self.batch_size):
      rows = np.arange(start, start + self.batch_size)
      valid = rows < self.num_examples
      rows = np.minimum(rows, self.num_examples - 1)
      yield {name: array[rows] for name, array in self.arrays.items()} | {"valid": valid}
