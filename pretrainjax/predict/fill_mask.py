"""Fills gaps by a masked language model: `predict fill-mask --text="The [MASK] of it"`."""

import argparse
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.command import Request
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.predict.embedding import padded, row_length, tokenizer_of
from pretrainjax.report.table import markdown_table
from pretrainjax.types import Text

MASK = "[MASK]"


class Filling(NamedTuple):
  """A token that may fill a gap, with its probability.

  Attributes:
    token: the id of the token.
    text: the token's text, with the space before it where it begins a word.
    probability: its probability among the tokens that texts are made of.
  """

  token: int
  text: str
  probability: float


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `predict fill-mask`."""
  parser.add_argument(
    "--text", action="append", help=f"with one {MASK} or several; give --text again for more"
  )
  parser.add_argument("--top_k", type=int, default=5, help="tokens for each gap (default: 5)")


def work(request: Request, loaded: Loaded) -> None:
  """Runs `predict fill-mask`."""
  options, workdir = request.options, Reference.parse(request.workdir).folder
  if not options.text:
    raise UserError(f'--text: found nothing, expected a text such as "The {MASK} of the union"')
  # ELECTRA has such a head too, but on its generator.
  head, generator = (getattr(loaded.module, name, None) for name in ("head", "generator"))
  if not isinstance(head, MaskedLMHead) or generator is not None:
    raise UserError(f"--workdir: '{workdir}' is {loaded.title}, expected a masked language model")
  tokenizer = tokenizer_of(loaded)
  for text in options.text:
    gaps = fill(loaded.module, tokenizer, text, top_k=options.top_k)
    print(f"\n{text}")
    for gap in gaps:
      body = [(repr(f.text), f"{f.probability:.2%}") for f in gap]
      print(markdown_table(("token", "probability"), body, right=(1,)))
    print(f"likeliest: {completed(tokenizer, text, [gap[0] for gap in gaps])}")


def fill(module: Any, tokenizer: Tokenizer, text: str, *, top_k: int) -> list[tuple[Filling, ...]]:
  """The likeliest tokens of each gap, likeliest first; each gap by itself, the others open.

  Args:
    module: the trained module, with `encoder` and a `MaskedLMHead` as `head`.
    tokenizer: the tokenizer that it was trained with.
    text: a text with at least one "[MASK]".
    top_k: the number of tokens for each gap, at least 1.

  Raises:
    UserError: for a text without gap, or longer than the encoder takes.
  """
  if top_k < 1:
    raise UserError(f"--top_k: found {top_k}, expected at least 1")
  tokens = [tokenizer.begin_id, *_with_gaps(tokenizer, text), tokenizer.end_id]
  longest = module.encoder.max_length
  if longest is not None and len(tokens) > longest:
    raise UserError(f"--text: found {len(tokens)} tokens, expected at most {longest}")
  rows = padded([tokens], length=row_length(len(tokens), longest=longest))
  logits = np.asarray(_logits(*nnx.split((module.encoder, module.head)), rows))[0]
  allowed = np.arange(logits.shape[-1]) < tokenizer.vocab_size
  allowed[list(tokenizer.special_ids)] = False
  probabilities = np.asarray(jax.nn.softmax(jnp.where(allowed[None], logits, -jnp.inf), axis=-1))
  gaps = [place for place, token in enumerate(tokens) if token == tokenizer.mask_id]
  best = np.argsort(-probabilities[gaps], axis=-1, kind="stable")[:, : min(top_k, allowed.sum())]
  return [
    tuple(Filling(i, tokenizer.decode([i]), float(probabilities[place, i])) for i in row)
    for place, row in zip(gaps, best.tolist(), strict=True)
  ]


def completed(tokenizer: Tokenizer, text: str, fillings: list[Filling]) -> str:
  """The text with each gap filled by the token that was chosen for it.

  Args:
    tokenizer: the tokenizer of the model.
    text: a text with "[MASK]" in each gap.
    fillings: one token a gap, in their order.
  """
  tokens, left = _with_gaps(tokenizer, text), iter(fillings)
  return tokenizer.decode([next(left).token if t == tokenizer.mask_id else t for t in tokens])


def _with_gaps(tokenizer: Tokenizer, text: str) -> list[int]:
  pieces = text.split(MASK)
  if len(pieces) < 2:
    raise UserError(f"--text: found no {MASK} in '{text}', expected at least one")
  # The space before a word belongs to its token in many vocabularies: the gap must have it.
  pieces = [*(piece.rstrip() for piece in pieces[:-1]), pieces[-1]]
  tokens = tokenizer.encode(pieces[0])
  for ids in tokenizer.encode_batch(pieces[1:]):
    tokens += [tokenizer.mask_id, *ids]
  return tokens


@functools.partial(jax.jit, static_argnums=0)
def _logits(graphdef: nnx.GraphDef, state: Any, text: Text) -> Float[Array, "B T V"]:
  encoder, head = nnx.merge(graphdef, state)
  return head(encoder.sequence(text), encoder.token_embedding[...])
