"""Values of a config against the annotations of what takes them, and flags' text as such values."""

import math
import re
import types
import typing
from typing import Annotated, Any

from beartype.door import is_bearable

from pretrainjax.errors import nearest
from pretrainjax.ranges import bare, misfit

# Flags read better than Python where they differ.
_WORDS = {"true": True, "false": False, "none": None, "null": None}


class Unfit(ValueError):
  """A value that an annotation does not take; the message says what is expected."""


def fitted(value: Any, hint: Any) -> Any:
  """Returns `value` as an annotation takes it.

  A whole number becomes a float where a float is expected, in tuples too; a truth value is no
  number, and a number lies in the range that the annotation names.

  Raises:
    Unfit: for any other value.
  """
  plain = bare(hint)
  try:
    result = _converted(value, plain)
  except Unfit:
    raise Unfit(say(plain, value)) from None
  if (expected := misfit(result, hint)) is not None:
    raise Unfit(expected)
  return result


def _converted(value: Any, hint: Any) -> Any:
  origin, arguments = typing.get_origin(hint), typing.get_args(hint)
  if origin in (typing.Union, types.UnionType):
    return _of_union(value, arguments)
  if origin is tuple and isinstance(value, tuple):
    hints = arguments[:1] * len(value) if arguments[-1:] == (...,) else arguments
    if len(hints) != len(value):
      raise Unfit
    return tuple(_converted(one, h) for one, h in zip(value, hints, strict=True))
  if hint is float and type(value) is int:
    try:
      return float(value)
    except OverflowError:
      raise Unfit from None
  if (isinstance(value, bool) and hint in (int, float)) or not is_bearable(value, hint):
    raise Unfit
  return value


def _of_union(value: Any, members: tuple[Any, ...]) -> Any:
  """What the member that is nearest to the value's own type makes of it."""
  for member in sorted(members, key=lambda member: member is not type(value)):
    try:
      return _converted(value, member)
    except Unfit:
      continue
  raise Unfit


def value_of(text: str, hint: Any) -> Any:
  """What a flag's text means where an annotation says what is wanted; not yet checked.

  Args:
    text: as it was typed.
    hint: an annotation; `Any` reads numbers, truth values, none, tuples and words.
  """
  hint = bare(hint)
  members = _members(hint)
  literals = [c for m in members if typing.get_origin(m) is typing.Literal for c in _args(m)]
  if text in map(str, literals):
    return next(c for c in literals if str(c) == text)
  if types.NoneType in members and is_none(text):
    return None
  if (pairs := [m for m in members if typing.get_origin(m) is tuple]) and _is_tuple(text, members):
    return _tuple_of(text, pairs[0])
  if str in members and not set(members) & {int, float, bool}:
    return _unquoted(text)
  value = literal(text)
  if str in members:
    others = [member for member in members if member is not str]
    return value if any(_takes(value, member) for member in others) else text
  return value


def is_none(text: str) -> bool:
  """Whether a flag's text says that there is no value."""
  return _WORDS.get(text.lower(), text) is None


def _takes(value: Any, hint: Any) -> bool:
  try:
    _converted(value, hint)
  except Unfit:
    return False
  return True


def literal(text: str) -> Any:
  """What a text looks like: a truth value, none, a number, a tuple, or else a word."""
  if text.lower() in _WORDS:
    return _WORDS[text.lower()]
  if re.fullmatch(r"[+-]?[0-9]{1,40}", text):
    return int(text)
  try:
    number = float(text)
    return number if math.isfinite(number) else text
  except ValueError:
    pass
  if text.count("(") + text.count("[") <= 1 and ("," in text or text.startswith("(")):
    return tuple(literal(_unquoted(part)) for part in _parts(text))
  return _unquoted(text)


def _is_tuple(text: str, members: list[Any]) -> bool:
  """Whether a text is meant as a tuple where other things may stand, too."""
  is_alone = len([member for member in members if member is not types.NoneType]) == 1
  return is_alone or text.startswith(("(", "[")) or (str not in members and "," in text)


def _tuple_of(text: str, hint: Any) -> Any:
  """A tuple out of "(a, b)", "a,b" or "a"; its elements are read by their own annotations."""
  if text.count("(") + text.count("[") > 1:  # a tuple of tuples is not torn apart
    return (text,)
  parts, hints = _parts(text), _args(hint)
  if hints[-1:] == (...,) or len(hints) != len(parts):
    hints = hints[:1] * len(parts)
  return tuple(value_of(part, h) for part, h in zip(parts, hints, strict=True))


def _parts(text: str) -> list[str]:
  return [part.strip() for part in text.strip("()[] ").split(",") if part.strip()]


def _unquoted(text: str) -> str:
  """The text without a pair of quotes around it, by which "none" can be written as a word."""
  is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
  return text[1:-1] if is_quoted else text


def _members(hint: Any) -> list[Any]:
  """The members of a union, or the annotation itself."""
  is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
  return list(_args(hint)) if is_union else [hint]


def _args(hint: Any) -> tuple[Any, ...]:
  return typing.get_args(hint)


def say(hint: Any, value: Any) -> str:
  """An annotation in words, with the choice that is nearest to `value`."""
  if typing.get_origin(hint) is Annotated:
    return say(bare(hint), value)
  choices = typing.get_args(hint)
  if typing.get_origin(hint) is typing.Literal:
    return (
      "one of "
      + ", ".join(map(str, choices))
      + nearest(str(value), map(str, choices)).partition("; valid")[0]
    )
  return hint.__name__ if isinstance(hint, type) and not choices else str(hint)
