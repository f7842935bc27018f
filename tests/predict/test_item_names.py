import numpy as np
import pytest

from pretrainjax.data.item_table import ItemTable
from pretrainjax.errors import UserError
from pretrainjax.predict.item_names import ItemNames

TITLES = ["Star Wars (1977)", "Godfather, The (1972)", "Alien", "Aliens", "", "50"]
TITLES += ["Sabrina (1954)", "Sabrina (1995)"]
IDS = ["50", "127", "a", "b", "c", "7", "s", "t"]


@pytest.fixture(scope="module")
def names():
  counts = np.zeros(len(IDS) + 1, np.int64)
  return ItemNames(ItemTable(["", *IDS], ["", *TITLES], counts, [{}] * (len(IDS) + 1)))


def test_an_item_is_found_by_id_then_by_title_in_any_case(names):
  assert names.find("127") == 2 and names.find("alien") == 3
  assert names.find("50") == 1, "an id goes before a title"
  assert names.find("") is None and names.find("star war") is None
  assert names.title(5) == "c" and names.title(2) == "Godfather, The (1972)"


def test_a_year_may_be_left_out_where_one_item_is_meant(names):
  assert names.find("star wars") == 1 and names.find("Godfather, The") == 2
  assert names.find("Sabrina") is None and names.find("sabrina (1995)") == 8
  assert names.split("Godfather, The, Alien") == ["Godfather, The", "Alien"]


@pytest.mark.parametrize(
  ("text", "found"),
  [
    ("Alien, 50", ["Alien", "50"]),
    ("Godfather, The (1972), Alien", ["Godfather, The (1972)", "Alien"]),
    ("Alien,Godfather, The (1972)", ["Alien", "Godfather, The (1972)"]),
    ("No, Such; Alien", ["No, Such", "Alien"]),
    ("nothing, Alien, ", ["nothing", "Alien"]),
    ("", []),
  ],
)
def test_commas_part_names_unless_they_are_a_titles_own(names, text, found):
  assert names.split(text) == found


@pytest.mark.parametrize(
  ("name", "near"),
  [
    ("Star War", "'Star Wars (1977)'"),
    ("Sabrina", "'Sabrina (1995)' or 'Sabrina (1954)'"),
    ("Godfahter, The", "'Godfather, The (1972)'"),
    ("Aliem", "'Alien' or 'Aliens'"),
  ],
)
def test_an_unknown_item_is_one_line_with_the_nearest_titles(names, name, near):
  with pytest.raises(UserError) as error:
    names.number(name, flag="--history")
  expected = f"--history: found no item '{name}' among 8 items; did you mean {near}?"
  assert str(error.value) == expected


def test_what_is_like_nothing_has_no_hint_and_ids_stand_in_for_titles(names):
  with pytest.raises(UserError, match="found no item 'qqq' among 8 items$"):
    names.number("qqq", flag="--item")
  table = ItemTable(["", "item-1", "item-2"], ["", "", ""], np.zeros(3, np.int64), [{}] * 3)
  assert ItemNames(table).nearest("item-3") == ["item-2", "item-1"]
