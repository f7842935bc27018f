"""Which column is what, where the user does not say: by its name, else by what stands in it."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pretrainjax.errors import UserError, nearest
from pretrainjax.prepare.text.fields import Fields, value_at
from pretrainjax.prepare.text.questions import is_answers

# By role, best first; small letters.
_TEXTS = (
  "text sentence sentence1 sentence_a text1 text_a premise question1 question prompt instruction "
  "query input source content document body review article passage comment tweet utterance message"
).split()
_SECONDS = (
  "sentence2 sentence_b text2 text_b hypothesis question2 response answer completion output target "
  "summary"
).split()
_LABELS = "label labels class category gold_label sentiment intent emotion topic".split()
_SCORES = "score similarity similarity_score relatedness_score rating".split()
_CHATS = "messages conversations conversation chat".split()
_QUESTIONS, _CONTEXTS = "question query".split(), "context passage paragraph document text".split()
_ANSWERS = "answers answer".split()
_WORDS, _TAGS = "tokens words".split(), "ner_tags tags ner labels pos_tags".split()
_DEEPEST = 4
_FEW = 20  # classes, of columns without names


def guessed(rows: Sequence[Mapping[str, Any]]) -> Fields | None:
  """The fields of some records of one kind; None where no column looks like a text.

  Args:
    rows: the first few records.
  """
  if (questions := _of_questions(rows)) is not None:
    return questions
  first = rows[0] if rows else {}
  names: dict[str, str] = {}  # of the innermost field; what stands further out goes before
  for name in sorted(field_names(rows), key=lambda name: name.count(".")):
    names.setdefault(name.rpartition(".")[2].lower(), name)
  if (chat := _of(names, _CHATS)) and isinstance(value_at(first, chat), list):
    return Fields(messages=chat)
  words, tags = _of(names, _WORDS), _of(names, _TAGS)
  if words and tags and all(isinstance(value_at(first, n), list) for n in (words, tags)):
    return Fields(text=words, tags=tags)
  if all(name.isdecimal() for name in first):
    return _of_bare_columns(rows)
  text = _of(names, _TEXTS)
  if text is None:
    return None
  rest = {low: name for low, name in names.items() if name != text}
  score = _of(rest, _SCORES)
  if score and not all(_is_number(value_at(row, score)) for row in rows):
    score = None
  label = None if score else _of(rest, _LABELS)
  return Fields(text=text, second=_of(rest, _SECONDS), label=label, score=score)


def completed(fields: Fields, rows: Sequence[Mapping[str, Any]], *, kind: str, file: str) -> Fields:
  """The fields that a user named, and a guess at those of a user who named none.

  Records of .jsonl, .json and .parquet that have a "text" are that text and no more, unless more is
  asked for: they may be of a corpus.

  Args:
    fields: as the config has them.
    rows: the first few records; without any the fields stay what they are.
    kind: of the file, see `formats.KINDS`.
    file: its name, for messages.

  Raises:
    UserError: for a field that none of these records has, or where none looks like a text.
  """
  if not rows:
    return fields
  there = field_names(rows)
  named = {role: name for role, name in dataclasses.asdict(fields).items() if name is not None}
  if fields == Fields() and (questions := _of_questions(rows)) is not None:
    return questions
  if fields.text == Fields.text and fields.messages is None:
    has_text = any(value_at(row, fields.text) is not None for row in rows)
    if not has_text or (fields == Fields() and kind == "table"):
      found = _of_columns(fields, there, kind) if kind in ("columns", "conllu") else guessed(rows)
      if found is None or (fields != Fields() and not found.text):
        raise UserError(
          f"--config.source.fields.text: no field of '{file}' looks like a text, expected one of "
          f"{', '.join(there)}"
        )
      fields = found if fields == Fields() else dataclasses.replace(fields, text=found.text)
    del named["text"]
  for role, name in named.items():
    if all(value_at(row, name) is None for row in rows):
      raise UserError(
        f"--config.source.fields.{role}: '{file}' has no field '{name}'{nearest(name, there)}"
      )
  return fields


def _of_questions(rows: Sequence[Mapping[str, Any]]) -> Fields | None:
  """Questions, contexts, and answers with their places; None where one of them is missing."""
  names = {name.lower(): name for row in rows for name in row}
  question, context, answers = (_of(names, w) for w in (_QUESTIONS, _CONTEXTS, _ANSWERS))
  if question is None or context is None or answers is None:
    return None
  found = [row[answers] for row in rows if row.get(answers) is not None]
  is_right = all(map(is_answers, found)) and any(len(value) > 0 for value in found)
  return Fields(text=question, second=context, answers=answers) if is_right else None


def _of_columns(fields: Fields, there: Sequence[str], kind: str) -> Fields:
  """The first column and the last; of CoNLL-U the forms and the universal parts of speech."""
  is_universal = kind == "conllu" and len(there) > 3
  text, tags = ("2", "4") if is_universal else (there[0], there[-1])
  return Fields(text=text, tags=fields.tags or tags)


def field_names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """The names of all fields, those of fields within others with dots."""
  return list(dict.fromkeys(name for row in rows for name in _names(row)))


def _names(record: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
  for name, value in record.items():
    if isinstance(value, Mapping) and value and prefix.count(".") < _DEEPEST:
      yield from _names(value, f"{prefix}{name}.")
    else:
      yield f"{prefix}{name}"


def described(fields: Fields) -> str:
  """The fields in words: "text=review, label=stars"."""
  if fields.messages is not None:
    return f"messages={fields.messages}"
  pairs = dataclasses.asdict(fields).items()
  return ", ".join(f"{role}={name}" for role, name in pairs if name is not None)


def _of_bare_columns(rows: Sequence[Mapping[str, Any]]) -> Fields | None:
  """Columns without names: texts are long, scores are numbers, classes are few and come again."""
  columns = {name: [row[name] for row in rows if name in row] for name in rows[0]}
  numbers = [name for name, cells in columns.items() if all(map(_is_number, cells))]
  words = [name for name in columns if name not in numbers]
  if not words:
    return None
  classes = [name for name in words if len(words) > 1 and _is_class(columns[name])]
  texts = [name for name in words if name not in classes] or words[:1]
  score = label = None
  whole = [name for name in numbers if _is_class(columns[name], of_numbers=True)]
  if classes:
    label = next(name for name in reversed(classes) if name not in texts) if texts else None
  elif len(texts) == 1 and whole:
    label = whole[-1]
  elif numbers and numbers != ["1"]:  # which numbers the rows
    score = numbers[-1]
  second = texts[1] if len(texts) > 1 else None
  return Fields(text=texts[0], second=second, label=label, score=score)


def _is_class(cells: Sequence[str], *, of_numbers: bool = False) -> bool:
  """Whether cells are names of a few classes: short, and some come again."""
  distinct = set(cells)
  if of_numbers and not all(cell.strip().lstrip("-").isdecimal() for cell in distinct):
    return False
  is_short = all(len(cell.split()) <= 3 for cell in distinct)
  return is_short and len(distinct) <= _FEW and (len(distinct) < len(cells) or len(cells) < 3)


def _is_number(value: Any) -> bool:
  try:
    return not isinstance(value, bool) and float(value) == float(value)
  except (TypeError, ValueError, OverflowError):
    return False


def _of(names: Mapping[str, str], wanted: Sequence[str]) -> str | None:
  return next((names[name] for name in wanted if name in names), None)
