"""Rules, by name, that transcripts are normalised by: for training, and before they are scored."""

import re
import unicodedata
from typing import Literal

Rule = Literal["words", "lower", "verbatim"]
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u0060\u00b4", "'"))
# An apostrophe within a word belongs to it: "don't".
_OUTER = re.compile(r"(?<!\w)'|'(?!\w)")


def normalized(text: str, rule: Rule) -> str:
  """A transcript as it is trained on and compared.

  >>> normalized("Don't  STOP -- it's 5 o'clock!", "words")
  "don't stop it's 5 o'clock"
  >>> normalized("A frog.", "lower"), normalized(" A  frog.", "verbatim")
  ('a frog.', 'A frog.')

  Args:
    text: what somebody wrote down.
    rule: "verbatim" normalises to Unicode's NFC, and makes one space of several; "lower" makes all
      letters small, too; "words" also takes compatible forms apart (NFKC) and puts a space in the
      place of all that is no letter, mark, number or apostrophe within a word.
  """
  if rule == "words":
    text = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).lower()
    text = "".join(c if c == "'" or unicodedata.category(c)[0] in "LMN" else " " for c in text)
    text = _OUTER.sub(" ", text)
  elif rule == "lower":
    text = text.lower()
  elif rule != "verbatim":
    raise ValueError(f"rule='{rule}': expected 'words', 'lower' or 'verbatim'")
  return " ".join(unicodedata.normalize("NFC", text).split())
