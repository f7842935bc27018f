"""A tiny encoder of text and in-memory texts with the duck type of TextData."""

import dataclasses
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
import tokenizers
from flax import nnx

from pretrainjax.data.tokenizer import SPECIALS, Tokenizer
from pretrainjax.models.layers.drop import dropout
from pretrainjax.types import Batch, Encoded, Text


def text_of(batch: Batch) -> Text:
  """The text of a batch."""
  return Text(batch["tokens"], batch["segments"], batch.get("types"))


class TinyText(nnx.Module):
  """Embeds tokens, looks at the one before, and pools by the mean of real tokens."""

  def __init__(
    self, *, vocab_size: int = 20, embed_dim: int = 8, rate: float = 0.0, rngs: nnx.Rngs
  ):
    self.embed_dim, self.vocab_size, self.max_length, self.rate = embed_dim, vocab_size, 16, rate
    self.pool = "mean"
    self.token_embedding = nnx.Param(nnx.initializers.normal(1.0)(rngs(), (vocab_size, embed_dim)))
    self.mix = nnx.Linear(2 * embed_dim, embed_dim, rngs=rngs)

  def inputs(self, batch: Batch) -> Text:
    return text_of(batch)

  def __call__(self, inputs: Text, *, keep=None, deterministic=True, rngs=None) -> Encoded:
    x = self.sequence(inputs, deterministic=deterministic, rngs=rngs)
    valid = inputs.segments > 0
    total = jnp.sum(jnp.where(valid[..., None], x, 0.0), axis=1)
    count = jnp.maximum(jnp.sum(valid, axis=1), 1)
    pooled = total / count[:, None] if self.pool == "mean" else x[:, 0]
    return Encoded(x, pooled, valid)

  def sequence(self, inputs: Text, *, deterministic=True, rngs=None):
    x = self.token_embedding[...][inputs.tokens]
    before = jnp.roll(x, 1, axis=1)
    same = jnp.roll(inputs.segments, 1, axis=1) == inputs.segments
    before = jnp.where((same & (jnp.arange(x.shape[1]) > 0)[None])[..., None], before, 0.0)
    x = jnp.tanh(self.mix(jnp.concatenate([x, before], axis=-1)))
    return dropout(x, rate=self.rate, deterministic=deterministic, rngs=rngs)


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayTexts:
  """Arrays by name ("tokens" and "segments", "B T" or "B V T") as a dataset of padded batches."""

  arrays: dict[str, np.ndarray] = dataclasses.field(repr=False)
  num_classes: int = 0
  tag_names: tuple[str, ...] = ()
  tokenizer: Tokenizer | None = dataclasses.field(default=None, repr=False)
  bytes_per_token: float = 3.0
  split: str = "train"
  batch_size: int = 8

  @property
  def num_examples(self) -> int:
    return len(self.arrays["tokens"])

  @property
  def arrays_with_views(self) -> tuple[str, ...]:
    names = ("tokens", "segments", "types")
    return tuple(n for n in names if n in self.arrays and self.arrays[n].ndim == 3)

  @property
  def class_names(self) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(self.num_classes))

  def one_pass(self) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, self.num_examples, self.batch_size):
      rows = np.arange(start, start + self.batch_size)
      valid = rows < self.num_examples
      rows = np.minimum(rows, self.num_examples - 1)
      yield {name: array[rows] for name, array in self.arrays.items()} | {"valid": valid}


def random_texts(
  count: int,
  *,
  length: int = 8,
  shortest: int = 2,
  views: int = 0,
  seed: int = 0,
  vocab_size: int = 20,
):
  """Texts of `shortest` to `length` tokens from 5 on, [CLS] first and [SEP] last."""
  rng = np.random.default_rng(seed)
  shape = (count, views) if views else (count,)
  tokens = rng.integers(5, vocab_size, (*shape, length)).astype(np.int32)
  ends = rng.integers(shortest, length + 1, shape)
  place = np.arange(length)
  segments = (place < ends[..., None]).astype(np.int32)
  tokens[..., 0] = 2
  tokens[place == ends[..., None] - 1] = 3
  return {"tokens": tokens * segments, "segments": segments}


def labelled_texts(count: int, *, seed: int) -> ArrayTexts:
  """Texts of two classes, which their first word tells."""
  texts, labels = random_texts(count, shortest=5, seed=seed), np.arange(count) % 2
  texts["tokens"][:, 1] = 5 + labels
  return ArrayTexts(texts | {"label": labels.astype(np.int32)}, num_classes=2)


def classes_seen() -> TinyText:
  """An encoder to which the words that tell the class are the loudest."""
  encoder = TinyText(rngs=nnx.Rngs(0))
  encoder.token_embedding[...] = encoder.token_embedding[...].at[7:].multiply(0.1)
  return encoder


def word_tokenizer(words: str) -> Tokenizer:
  """A tokenizer of whole words, with the special tokens of ours and the given words after them."""
  vocabulary = {name: i for i, name in enumerate([*SPECIALS, *words.split()])}
  made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
  made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
  made.add_special_tokens(list(SPECIALS))
  return Tokenizer(made.to_str())


def tokenizer_of_size(vocab_size: int) -> Tokenizer:
  """A `word_tokenizer` with so many tokens, special ones among them."""
  return word_tokenizer(" ".join(f"w{i}" for i in range(vocab_size - len(SPECIALS))))
