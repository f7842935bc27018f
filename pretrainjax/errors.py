"""What a user can have done wrong, said in one line."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
  """A mistake of the user's: binaries print it as one line and exit with status 2.

  The message names the file, key or flag, what was found, what was expected and, where
  there is one, the nearest valid choice.
  """


def nearest(word: str, choices: Iterable[str]) -> str:
  """Returns a hint to append to a message about an unknown `word`.

  Args:
    word: what the user wrote.
    choices: the valid words.

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
