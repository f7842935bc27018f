"""The language model that transcribing searches with: an ARPA file of words, or of labels."""

import argparse
from typing import Literal, get_args

import numpy as np
from jaxtyping import Int

from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.generation.arpa import read_arpa
from pretrainjax.generation.backoff import Backoff
from pretrainjax.generation.fusion import Fusion, LabelModel, WordModel
from pretrainjax.predict.ctc_words import Labels
from pretrainjax.untrusted import BadFile
from pretrainjax.user_path import user_path

# What the entries of a language model are.
Unit = Literal["words", "labels"]
# How a label that is a space is spelt in files, whose entries have none: by us, by others.
SPACES = ("<space>", "|", "\u2581")


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of the language model."""
  parser.add_argument(
    "--lm", type=user_path, metavar="FILE.arpa", help="n-grams, as `predict ngrams` writes; .gz too"
  )
  parser.add_argument(
    "--lm_of",
    choices=get_args(Unit),
    default="words",
    help="what its entries are: words, or the tokens of the run (default: words)",
  )
  parser.add_argument("--alpha", type=float, default=0.5, help="weight of --lm (default: 0.5)")
  parser.add_argument(
    "--beta", type=float, default=1.0, help="added for each word or token of --lm (default: 1)"
  )


def fusion_of(options: argparse.Namespace, labels: Labels) -> Fusion | None:
  """What the file of the flags adds to the search; None without one.

  Args:
    options: the flags of `add_flags`.
    labels: what the classes of the network are in writing.

  Raises:
    UserError: for a file that is none, or that does not know any token of the run.
  """
  for name in ("alpha", "beta"):
    if not np.isfinite(getattr(options, name)):
      raise UserError(f"--{name}: found {getattr(options, name)}, expected a finite number")
  if options.lm is None:
    return None
  try:
    model = read_arpa(options.lm)
  except BadFile as error:
    raise UserError(f"--lm: {error}") from error
  weights = {"alpha": options.alpha, "beta": options.beta}
  if options.lm_of == "words":
    return WordModel(model, labels.begins, labels.tokenizer.decode, **weights)
  entries = _entries(model, labels)
  if (entries == model.find("")).all():
    raise UserError(f"--lm: '{options.lm}' has no token of the run; --lm_of=words takes words")
  return LabelModel(model, entries, **weights)


def spelling(tokenizer: Tokenizer, label: int) -> str:
  """How a token is spelt in a file: as in the vocabulary, "<space>" for a space."""
  piece = tokenizer.piece(label) or ""
  return piece if piece.split() == [piece] else SPACES[0]


def _entries(model: Backoff, labels: Labels) -> Int[np.ndarray, " K"]:
  """The number of each label in a model, that of <unk> or -1 for those that it does not list."""
  found = np.full(len(labels.begins), model.find(""), np.int64)
  special = {*labels.tokenizer.special_ids, labels.blank_id}
  for label in range(min(len(found), labels.tokenizer.vocab_size)):
    names = [spelling(labels.tokenizer, label)]
    names += SPACES if labels.is_space[label] else ()
    known = [model.number[name] for name in names if name in model.number]
    if known and label not in special:
      found[label] = known[0]
  return found
