"""How SQuAD compares the text of an answer with the right ones: exact match and F1."""

import collections
import re
import string
from collections.abc import Iterable, Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = dict.fromkeys(map(ord, string.punctuation))


def normalized(text: str) -> str:
  """A text in small letters, without ASCII punctuation, English articles and needless space.

  >>> normalized("The  U.S. -- a Union")
  'us union'
  """
  bare = text.lower().translate(_PUNCTUATION)
  return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(found: str, right: Sequence[str]) -> float:
  """1 where an answer equals one of the right ones, normalized; else 0.

  Args:
    found: the answer, "" for none.
    right: the right answers, () where the question has none.
  """
  return max(float(normalized(found) == normalized(one)) for one in _golden(right))


def f1(found: str, right: Sequence[str]) -> float:
  """The highest F1 of the words of an answer and of one of the right ones, normalized.

      F1 = 2 * (words of both) / (words of one + words of the other)

  Words that come twice count twice. Where one has no words, it is 1 if the other has none, else 0.

  Args:
    found: the answer, "" for none.
    right: the right answers, () where the question has none.

  Reference: the script that evaluates SQuAD 2.0 (arXiv 1806.03822), and so 1.1 (1606.05250).

  >>> f1("the state of the union", ["union", "State of Unions"])
  0.6666666666666666
  """
  return max(_f1(normalized(found).split(), normalized(one).split()) for one in _golden(right))


def has_answer(right: Iterable[str]) -> bool:
  """Whether a question has an answer of which something is left once it is normalized."""
  return any(map(normalized, right))


def _golden(right: Sequence[str]) -> Sequence[str]:
  return [one for one in right if normalized(one)] or [""]


def _f1(found: Sequence[str], right: Sequence[str]) -> float:
  if not found or not right:
    return float(found == right)
  both = sum((collections.Counter(found) & collections.Counter(right)).values())
  return 2 * both / (len(found) + len(right))
