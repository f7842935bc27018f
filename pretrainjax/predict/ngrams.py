"""Counts n-grams for transcribing: `predict ngrams --workdir=RUN --input=TEXTS --out=FILE.arpa`.

Each text is a sentence. The model is that of the evaluators, interpolated modified Kneser-Ney.
"""

import argparse
from collections.abc import Iterator, Sequence
from typing import get_args

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.command import Request
from pretrainjax.data.transcripts import Rule, normalized
from pretrainjax.errors import UserError
from pretrainjax.evaluators.ngram_backoff import fit_backoff
from pretrainjax.generation.arpa import MAX_ORDER, write_arpa
from pretrainjax.generation.backoff import BEGIN, END, UNKNOWN
from pretrainjax.predict.language_model import Unit, spelling
from pretrainjax.predict.texts import FORMS, read_texts, text_field
from pretrainjax.predict.texts import add_flags as add_text_flags
from pretrainjax.user_path import user_path


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `predict ngrams`."""
  parser.add_argument("--input", type=user_path, metavar="FILE", help=f"texts: {FORMS}")
  add_text_flags(parser, usual="text")
  parser.add_argument("--out", type=user_path, metavar="FILE.arpa", help="where to write")
  parser.add_argument("--order", type=int, default=3, help="the longest n-gram (default: 3)")
  parser.add_argument(
    "--of", choices=get_args(Unit), default="words", help="what is counted (default: words)"
  )
  parser.add_argument(
    "--normalizer",
    choices=get_args(Rule),
    default="words",
    help="what is done to texts first: as to the transcripts of the run (default: words)",
  )


def work(request: Request, loaded: Loaded) -> None:
  """Runs `predict ngrams`."""
  options = request.options
  for flag in ("input", "out"):
    if getattr(options, flag) is None:
      raise UserError(f"--{flag}: found nothing, expected a file")
  if not 1 <= options.order <= MAX_ORDER:
    raise UserError(f"--order: found {options.order}, expected 1 to {MAX_ORDER}")
  if options.out.exists():
    raise UserError(f"--out: '{options.out}' is there already; remove it, or choose another")
  if not options.out.absolute().parent.is_dir():
    raise UserError(f"--out: there is no folder '{options.out.parent}'")
  if options.of == "labels" and loaded.tokenizer is None:
    raise UserError(f"--of: labels are tokens, but '{request.workdir}' has no tokenizer.json")
  try:
    model = fit_backoff(_sentences(options, loaded), order=options.order)
  except ValueError as error:
    raise UserError(f"--input: '{options.input}': {error}") from error
  write_arpa(options.out, model)
  count = sum(map(len, model.following.values()))
  print(f"{count:,} n-grams of {len(model.words):,} {options.of}: {options.out}")


def _sentences(options: argparse.Namespace, loaded: Loaded) -> Iterator[Sequence[str]]:
  """The words or the tokens of each text that has some."""
  how = {"flag": "--input", "encoding": options.encoding}
  field = text_field(options.input, named=options.field, usual="text", **how)
  reserved, tokenizer = {BEGIN, END, UNKNOWN}, loaded.tokenizer
  for text in read_texts(options.input, field=field, **how):
    text = normalized(text, options.normalizer)
    if options.of == "words":
      found = text.split()
    else:
      found = [spelling(tokenizer, label) for label in tokenizer.encode(text)]
    if found := [word for word in found if word not in reserved]:
      yield found
