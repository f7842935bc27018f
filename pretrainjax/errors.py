"""The user's mistakes, each as one line that names the nearest valid choice."""

import difflib
from collections.abc import Iterable

_LONGEST, _HALF = 4000, 1900


class UserError(Exception):
  """A mistake of the user: binaries print it as one line and exit with status 2.

  The message names the file, key or flag, what was found, what was expected and, where
  there is one, the nearest valid choice. Whatever names and values it repeats, it is one line.
  """

  def __str__(self) -> str:
    """The message, printable, and cut in its middle where it is absurdly long."""
    text = printable(super().__str__())
    return text if len(text) <= _LONGEST else f"{text[:_HALF]} ... {text[-_HALF:]}"


def printable(text: str) -> str:
  """The text on one line: what moves the cursor, changes colours or is no letter is spelt out."""
  if text.isprintable():
    return text
  spelt = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
  return "".join(spelt)


def nearest(word: str, choices: Iterable[str]) -> str:
  """Returns a hint to append to a message about an unknown `word`.

  Args:
    word: the word that the user wrote.
    choices: all words that are valid.

  Returns:
    "; did you mean 'x'?" for a close match, else "; valid: a, b, c" (at most 12 of them),
    or "" where there is no choice at all.
  """
  choices = sorted(choices)
  close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
  if close:
    return f"; did you mean '{close[0]}'?"
  if not choices:
    return ""
  more = ", ..." if len(choices) > 12 else ""
  return f"; valid: {', '.join(choices[:12])}{more}"


def one_line(error: BaseException) -> str:
  """The message of an exception on one line."""
  return " ".join(str(error).split()) or type(error).__name__
