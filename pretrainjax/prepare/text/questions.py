"""Questions with answers in their contexts, as SQuAD's files and Hugging Face's have them."""

import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pretrainjax.prepare.text.document import Answer, Document

_TEXT, _START = "text", "answer_start"
_NO_QUESTIONS = "paragraph without a context and questions"


class NoAnswers(Exception):
  """Raised for what is no list of answers, with a reason in a few words."""


def flattened(records: Iterable[Any]) -> Iterator[Any]:
  """Records as they are, but those of SQuAD's files as one record a question.

  An article there has paragraphs, and each of these a context and questions ("qas"). A question
  that `is_impossible` has no answer; those that seem plausible are left out.

  Args:
    records: parsed JSON, or strings that say what is wrong with a record.

  Reference: SQuAD 1.1 (arXiv 1606.05250) and 2.0 (1806.03822).
  """
  for record in records:
    paragraphs = record.get("paragraphs") if isinstance(record, Mapping) else None
    if isinstance(record, Mapping) and "qas" in record:
      paragraphs = [record]
    if not isinstance(paragraphs, list) or not all(isinstance(p, Mapping) for p in paragraphs):
      yield record
      continue
    for paragraph in paragraphs:
      yield from _of_paragraph(paragraph)


def _of_paragraph(paragraph: Mapping[str, Any]) -> Iterator[Any]:
  context, questions = paragraph.get("context"), paragraph.get("qas")
  if not isinstance(context, str) or not isinstance(questions, list):
    yield _NO_QUESTIONS
    return
  for question in questions:
    if not isinstance(question, Mapping):
      yield "not a record of fields"
      continue
    found = {name: question[name] for name in ("id", "question", "answers") if name in question}
    if question.get("is_impossible") is True:
      found["answers"] = []
    yield found | {"context": context}


def is_answers(value: Any) -> bool:
  """Whether a field holds answers with the places where they begin, in one of their forms."""
  if isinstance(value, Mapping):
    return _TEXT in value and _START in value
  return isinstance(value, (list, tuple)) and all(
    isinstance(one, Mapping) and is_answers(one) for one in value
  )


def answers_of(value: Any) -> tuple[Answer, ...]:
  """The answers of a record, () where there is none; empty ones are none.

  Args:
    value: {"text": [...], "answer_start": [...]}, or [{"text": ..., "answer_start": ...}, ...].

  Raises:
    NoAnswers: for anything else.
  """
  if not is_answers(value):
    raise NoAnswers(f"no answers, each with '{_TEXT}' and '{_START}'")
  if not isinstance(value, Mapping):
    return tuple(answer for one in value for answer in answers_of(one))
  texts, starts = _listed(value[_TEXT]), _listed(value[_START])
  if len(texts) != len(starts):
    raise NoAnswers(f"another number of '{_TEXT}' than of '{_START}'")
  found = [_answer(*pair) for pair in zip(texts, starts, strict=True)]
  return tuple(answer for answer in found if answer.text.strip())


def _listed(value: Any) -> list[Any]:
  value = value.tolist() if hasattr(value, "tolist") else value
  return list(value) if isinstance(value, (list, tuple)) else [value]


def _answer(text: Any, start: Any) -> Answer:
  if isinstance(text, bytes):
    text = text.decode("utf-8", "replace")
  if not isinstance(text, str):
    raise NoAnswers("an answer that is no text")
  if start is None:  # some tools write answers without a place
    return Answer(text, -1)
  is_number = isinstance(start, numbers.Real) and not isinstance(start, bool)
  if not is_number or start != start // 1:
    raise NoAnswers("an answer whose start is no whole number")
  return Answer(text, int(start))


def placed(document: Document, replaced: Callable[[str], str]) -> Document:
  """Cleans a question, its context and answers, and finds the answers' places in what is left.

  An answer that does not stand where its source says has a start below 0 afterwards. Starts are
  counted in Unicode's code points, before as after.

  Args:
    document: a question with answers.
    replaced: cleans a text, and leaves the space at its ends, see `Cleaning.replaced`.
  """
  raw = document.second or ""
  whole = replaced(raw)
  cut = len(whole) - len(whole.lstrip())
  context = whole.strip()

  def place(answer: Answer) -> Answer:
    text, start = answer.text.strip(), answer.start
    kept = replaced(text).strip()
    if start >= 0 and raw.startswith(answer.text, start):
      start += len(answer.text) - len(answer.text.lstrip())
      start = len(replaced(raw[:start])) - cut
      if start >= 0 and context.startswith(kept, start):
        return Answer(kept, start)
    return Answer(kept, -1)

  answers = (place(answer) for answer in document.answers or ())
  return document._replace(
    text=replaced(document.text).strip(),
    second=context,
    answers=tuple(answer for answer in answers if answer.text),
  )


def whereabouts(context: str, text: str) -> str:
  """Where an answer stands that is not at its place, in words to be counted."""
  first = context.find(text)
  if first < 0:
    return "nowhere in the context"
  return "once elsewhere" if context.find(text, first + 1) < 0 else "several times elsewhere"
