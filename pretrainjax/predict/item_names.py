"""Items as people name them: by the id that the log has, or by title."""

import difflib
import re
from collections.abc import Iterable, Iterator

from pretrainjax.data.item_table import ItemTable
from pretrainjax.errors import UserError

_SHOWN = 3
_YEAR = re.compile(r"\s*\(\d{4}\)$")  # as of films
_MOST_COMPARED = 20_000  # titles, letter by letter: a second


class ItemNames:
  """Finds items by what a person calls them.

  Args:
    table: the items of the prepared set.
  """

  def __init__(self, table: ItemTable):
    self.table = table
    self._titles: dict[str, int] = {}
    without_year: dict[str, set[int]] = {}
    for number, title in enumerate(table.titles):
      if title:
        self._titles.setdefault(title.casefold(), number)
        without_year.setdefault(_YEAR.sub("", title).casefold(), set()).add(number)
    self._short = {name: one.pop() for name, one in without_year.items() if len(one) == 1}

  def title(self, number: int) -> str:
    """The title of an item; its id where it has none."""
    return self.table.titles[number] or self.table.ids[number]

  def find(self, name: str) -> int | None:
    """The number of the item of that id, else of that title in any case; None for none.

    A title's year may be left out where one item alone is then meant.
    """
    if (found := self.table.number_of(name)) is not None:
      return found
    return self._titles.get(name.casefold(), self._short.get(name.casefold()))

  def number(self, name: str, *, flag: str) -> int:
    """The number of an item.

    Args:
      name: its id or title.
      flag: the flag that named it, for the message.

    Raises:
      UserError: for one that is not in the set, with the nearest titles.
    """
    found = self.find(name)
    if found is None:
      *others, last = [f"'{title}'" for title in self.nearest(name)] or [""]
      near = f"{', '.join(others)} or {last}" if others else last
      hint = f"; did you mean {near}?" if near else ""
      known = f"{self.table.num_items:,} items"
      raise UserError(f"{flag}: found no item '{name}' among {known}{hint}")
    return found

  def split(self, text: str) -> list[str]:
    """The names in a text with commas; a comma may be a title's own ("Godfather, The (1972)").

    As many parts as make up the name of an item are one; semicolons part what is ambiguous.
    """
    if ";" in text:
      return [part.strip() for part in text.split(";") if part.strip()]
    parts, names = [part.strip() for part in text.split(",")], []
    while parts:
      ends = (end for end in range(len(parts), 1, -1) if self.find(", ".join(parts[:end])))
      end = next(ends, 1)
      names.append(", ".join(parts[:end]))
      parts = parts[end:]
    return [name for name in names if name]

  def nearest(self, name: str) -> list[str]:
    """The titles that are most like a name, at most three; ids where there are no titles."""
    wanted = name.casefold()
    known = list(self._titles) or list(self.table.ids[1:])
    holds = [title for title in known if wanted in title]
    compared = holds or list(self._with_a_word_of(wanted, known))
    close = difflib.get_close_matches(wanted, compared[:_MOST_COMPARED], n=_SHOWN, cutoff=0.5)
    near = close or holds[:_SHOWN]
    return [self.title(self._titles[title]) if self._titles else title for title in near]

  @staticmethod
  def _with_a_word_of(name: str, known: Iterable[str]) -> Iterator[str]:
    """Those that have a word of the name, or all where none has: it may be misspelt."""
    known = list(known)
    words = [word for word in re.findall(r"\w+", name) if len(word) > 2]
    some = [title for title in known if any(word in title for word in words)]
    yield from some
    if len(known) <= _MOST_COMPARED:
      kept = {*some}
      yield from (title for title in known if title not in kept)
