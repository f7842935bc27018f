"""Features of texts, in batches of similar length with little padding."""

import functools
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.evaluators.features import pooled
from pretrainjax.types import Encoder, Text

# Of rows; each further one is compiled once.
_SHORTEST = 16


def tokenizer_of(loaded: Loaded) -> Tokenizer:
  """The tokenizer that a run or model was trained with.

  Raises:
    UserError: for an encoder of something else than its texts.
  """
  encoder, workdir = loaded.encoder, loaded.workdir
  size = getattr(encoder, "vocab_size", None)
  if size is None:
    found = type(encoder).__name__
    raise UserError(f"--workdir: '{workdir}' holds a {found}, expected an encoder of text")
  tokenizer = loaded.tokenizer
  if tokenizer is None:
    raise UserError(f"--workdir: '{workdir}' has no tokenizer.json, expected that of its texts")
  if size < tokenizer.vocab_size:
    raise UserError(
      f"--workdir: '{workdir}' knows {size} tokens, but its tokenizer.json {tokenizer.vocab_size}"
    )
  return tokenizer


def embed_texts(
  encoder: Encoder, token_lists: Sequence[Sequence[int]], *, batch_size: int
) -> Float[np.ndarray, "N D"]:
  """Encodes texts: `encoder(text).pooled`, deterministic, float32, in the order they came in.

  A text's batch, and so the last bits of its feature, depend on the other texts.

  Args:
    encoder: the encoder of text; the same architecture is compiled once a process and length.
    token_lists: the token ids of each text, with what begins and ends it, at least one.
    batch_size: the texts that are encoded at once, at least 1.
  """
  lengths = [len(tokens) for tokens in token_lists]
  order = np.argsort(lengths, kind="stable")
  apply = functools.partial(pooled, *nnx.split(encoder))
  found = np.empty((len(token_lists), encoder.embed_dim), np.float32)
  for start in range(0, len(order), batch_size):
    rows = order[start : start + batch_size]
    batch = [token_lists[row] for row in rows]
    batch += [batch[-1]] * (batch_size - len(batch))
    length = row_length(len(batch[-1]), longest=getattr(encoder, "max_length", None))
    found[rows] = np.asarray(apply(padded(batch, length=length)))[: len(rows)]
  return found


def row_length(length: int, *, longest: int | None) -> int:
  """The row length for texts of at most `length` tokens: a power of two, or the model's longest."""
  size = max(_SHORTEST, 1 << (length - 1).bit_length())
  return size if longest is None else min(size, max(longest, length))


def padded(token_lists: Sequence[Sequence[int]], *, length: int) -> Text:
  """Pads texts to rows of one length, one document a row."""
  tokens = np.zeros((len(token_lists), length), np.int32)
  segments = np.zeros_like(tokens)
  for row, found in enumerate(token_lists):
    tokens[row, : len(found)] = found
    segments[row, : len(found)] = 1
  return Text(jnp.asarray(tokens), jnp.asarray(segments))


def with_begin_and_end(
  tokens: Sequence[int], tokenizer: Tokenizer, *, length: int | None
) -> list[int]:
  """Adds the begin and end tokens to a text, as in training, cut to `length` tokens in all.

  Args:
    tokens: the token ids of a text.
    tokenizer: the tokenizer that knows the two tokens.
    length: the most tokens in all; None cuts nothing.
  """
  begin, end = ([] if i is None else [i] for i in (tokenizer.begin_id, tokenizer.end_id))
  room = len(tokens) if length is None else max(length - len(begin) - len(end), 0)
  return [*begin, *tokens[:room], *end]
