"""Answers questions about texts: `predict answer --question="Who won?" --context="Denver won."`.

One question is answered by its answer alone; several, and those of --input, by one JSON object a
line with "id", "question", "answer" ("" where there is none), "score" and "no_answer", both sums of
start and end. --out=FILE.json writes {id: answer}, as SQuAD's scripts read it.
"""

import argparse
import functools
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.command import Request
from pretrainjax.data.text_rows import Specials, joint
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.data.windows import Window, cut
from pretrainjax.errors import UserError
from pretrainjax.evaluators.best_spans import Answered, answered, spans_of
from pretrainjax.objectives.supervised.question_answering import SpanFinder
from pretrainjax.predict.embedding import row_length, tokenizer_of
from pretrainjax.predict.questions import Question, read_questions
from pretrainjax.prepare.text.form import NUM_SPECIALS, Form
from pretrainjax.types import Text
from pretrainjax.user_path import user_path

_AT_ONCE = 256  # questions
_NUM_BEST = 20
_NONE = "(no answer)"


class Answering(NamedTuple):
  """How questions are answered.

  Attributes:
    form: how long rows are, and how contexts are cut.
    longest_answer: the most tokens of an answer.
    batch_size: windows of contexts that are encoded at once.
  """

  form: Form
  longest_answer: int
  batch_size: int


class _Row(NamedTuple):
  """A window of a context behind its question, in tokens."""

  question: int
  tokens: list[int]
  context: Sequence[int]
  window: Window


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `predict answer`."""
  parser.add_argument("--question", action="append", help="give it again for more")
  parser.add_argument("--context", metavar="TEXT", help="the text that --question asks about")
  parser.add_argument(
    "--input",
    type=user_path,
    metavar="FILE",
    help="many: SQuAD's .json, or .json, .jsonl, .parquet with question and context",
  )
  parser.add_argument("--out", type=user_path, metavar="FILE", help="a .json, or a .jsonl")
  parser.add_argument(
    "--null_threshold",
    type=float,
    metavar="X",
    help="none where no_answer - score is above it (unless given, each question is answered)",
  )
  parser.add_argument(
    "--longest_answer", type=int, default=30, metavar="N", help="in tokens (default: 30)"
  )
  parser.add_argument(
    "--window", type=int, help="tokens of a row (default: 384, or as many as the network takes)"
  )
  parser.add_argument(
    "--stride", type=int, default=128, help="between two windows of a context (default: 128)"
  )
  parser.add_argument("--batch_size", type=int, default=32, help="windows at once (default: 32)")


def work(request: Request, loaded: Loaded) -> None:
  """Runs `predict answer`."""
  options, workdir = request.options, Reference.parse(request.workdir).folder
  questions = _questions(options)
  out = None if options.out is None else _new_file(options.out)
  if not isinstance(loaded.module, SpanFinder):
    raise UserError(f"--workdir: '{workdir}' is {loaded.title}, expected QuestionAnswering")
  tokenizer = tokenizer_of(loaded)
  how = _how(options, longest=getattr(loaded.encoder, "max_length", None))
  pairs = answer(loaded.module, tokenizer, questions, how)
  threshold = options.null_threshold
  if out is not None:
    count = _write(out, pairs, threshold)
    print(f"answers to {count} questions: {out}")
  elif options.input is None and len(options.question) == 1:
    ((_, found),) = pairs
    print(found.or_none(threshold) or _NONE)
  else:
    for question, found in pairs:
      print(_line(question, found, threshold))


def answer(
  module: Any, tokenizer: Tokenizer, questions: Iterable[Question], how: Answering
) -> Iterator[tuple[Question, Answered]]:
  """Yields each question with what all windows of its context say.

  Args:
    module: the trained module of a `QuestionAnswering`.
    tokenizer: the tokenizer that it was trained with.
    questions: the questions, of which never more than some are in memory.
    how: how they are answered.
  """
  questions = iter(questions)
  while part := list(itertools.islice(questions, _AT_ONCE)):
    rows = [row for place, one in enumerate(part) for row in _rows(place, one, tokenizer, how.form)]
    # Rows of like length go together.
    rows.sort(key=lambda row: len(row.tokens) + len(row.context))
    found: list[Answered | None] = [None] * len(part)
    for start in range(0, len(rows), how.batch_size):
      batch = rows[start : start + how.batch_size]
      for row, one in zip(batch, _answered(module, tokenizer, batch, how), strict=True):
        before = found[row.question]
        found[row.question] = one if before is None else before.with_window(one)
    for question, one in zip(part, found, strict=True):
      assert one is not None
      yield question, one


def _questions(options: argparse.Namespace) -> Iterable[Question]:
  if (options.input is None) == (options.question is None):
    raise UserError("--question, --input: found none or both, expected one of them")
  if options.input is not None:
    return read_questions(options.input)
  if options.context is None:
    raise UserError("--context: found nothing, expected the text that --question asks about")
  found = [Question(str(i), q, options.context) for i, q in enumerate(options.question, start=1)]
  if any("\ud800" <= letter <= "\udfff" for one in found for letter in one.question + one.context):
    raise UserError("--question, --context: found bytes that are no UTF-8")
  return found


def _new_file(out: Path) -> Path:
  if out.suffix not in (".json", ".jsonl"):
    raise UserError(f"--out: found '{out}', expected a .json or .jsonl")
  if out.exists():
    raise UserError(f"--out: '{out}' is there already; remove it, or choose another")
  if not out.absolute().parent.is_dir():
    raise UserError(f"--out: there is no folder '{out.parent}'")
  return out


def _how(options: argparse.Namespace, *, longest: int | None) -> Answering:
  for name in ("longest_answer", "batch_size"):
    if getattr(options, name) < 1:
      raise UserError(f"--{name}: found {getattr(options, name)}, expected at least 1")
  if longest is not None and (options.window or 0) > longest:
    raise UserError(f"--window: found {options.window}, expected at most {longest} in this run")
  window = options.window or min(Form.window, longest or Form.window)
  try:
    form = Form(window=window, stride=options.stride)
  except ValueError as error:  # it names the argument, which is the flag
    raise UserError(f"--{error}") from error
  return Answering(form, options.longest_answer, options.batch_size)


def _rows(place: int, asked: Question, tokenizer: Tokenizer, form: Form) -> Iterator[_Row]:
  tokens = tokenizer.encode(asked.question)[: form.longest_question]
  ids, offsets = tokenizer.encode_offsets(asked.context)
  room = form.window - NUM_SPECIALS - len(tokens)
  for part in cut(len(ids), room=room, stride=form.stride):
    pieces = np.asarray(offsets[part], np.int64).reshape(-1, 2)
    yield _Row(place, tokens, ids[part], Window(asked.id, asked.context, pieces, ()))


def _answered(
  module: Any, tokenizer: Tokenizer, batch: Sequence[_Row], how: Answering
) -> list[Answered]:
  longest = max(len(row.tokens) + len(row.context) for row in batch) + NUM_SPECIALS
  length = row_length(longest, longest=how.form.window)
  specials = Specials(tokenizer.pad_id, tokenizer.begin_id, tokenizer.end_id)
  rows = [
    joint(
      np.asarray(row.tokens, np.int32),
      np.asarray(row.context, np.int32),
      length=length,
      specials=specials,
    )
    for row in batch
  ]
  rows += [rows[-1]] * (how.batch_size - len(rows))
  text = Text(*(jnp.stack([row[name] for row in rows]) for name in ("tokens", "segments", "types")))
  find = functools.partial(spans_of, longest=how.longest_answer, count=_NUM_BEST)
  return answered(find(*nnx.split(module), text), [row.window for row in batch])


def _line(question: Question, found: Answered, threshold: float | None) -> str:
  scores = {"score": found.score if found.text else None, "no_answer": found.null}
  fields = {"id": question.id, "question": question.question, "answer": found.or_none(threshold)}
  return json.dumps(fields | scores, ensure_ascii=False)


def _write(out: Path, pairs: Iterable[tuple[Question, Answered]], threshold: float | None) -> int:
  """Writes the answers to a file that is there once it is whole; returns their number."""
  temporary, count, predictions = out.with_name(f".{out.name}.{os.getpid()}"), 0, {}
  with open(temporary, "w", encoding="utf-8") as file:
    for count, (question, found) in enumerate(pairs, start=1):  # noqa: B007
      if out.suffix == ".jsonl":
        file.write(f"{_line(question, found, threshold)}\n")
      else:
        predictions[question.id] = found.or_none(threshold)
    if out.suffix == ".json":
      json.dump(predictions, file, ensure_ascii=False, indent=1)
  os.replace(temporary, out)
  return count
