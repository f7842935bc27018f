"""Tables of items and users: numbers, titles, and files that are none."""

import numpy as np
import pytest

from pretrainjax.data.item_table import ItemTable, UserTable
from pretrainjax.errors import UserError
from tests.support.interactions import write_interactions


def test_items_are_counted_from_one_and_users_from_zero(tmp_path):
  genres = [{"genres": ["Drama", "War"]}]
  folder = write_interactions(
    tmp_path / "log", {"train": [[2, 2], [1]]}, num_items=3, titles=["A", "B"], item_features=genres
  )
  items, users = ItemTable.load(folder), UserTable.load(folder)
  assert (items.num_items, users.num_users) == (3, 2)
  assert list(items.ids) == ["", "i1", "i2", "i3"]
  assert list(items.titles) == ["", "A", "B", ""]
  assert list(items.features) == [{}, {"genres": ["Drama", "War"]}, {}, {}]
  np.testing.assert_array_equal(items.counts, [0, 1, 2, 0])
  assert [items.number_of(name) for name in ("i3", "", "i4")] == [3, None, None]
  assert [users.number_of(name) for name in ("u0", "u1", "u2")] == [0, 1, None]


@pytest.mark.parametrize(
  ("text", "reason"),
  [
    ("{", "line 1: not JSON"),
    ('{"id": "a", "count": 1}\n[]', "line 2: not a record of fields"),
    ('{"id": 7, "count": 1}', "id=7, expected str"),
    ('{"id": "a", "count": true}', "count=True, expected int"),
    ('{"id": "a", "count": -1}', "expected a number of events"),
    ('{"id": "a", "count": 1, "title": null}', "title=None, expected str"),
  ],
)
def test_a_damaged_table_is_one_line(tmp_path, text, reason):
  (tmp_path / "items.jsonl").write_text(text)
  with pytest.raises(UserError, match=reason):
    ItemTable.load(tmp_path)


def test_a_missing_table_is_one_line(tmp_path):
  with pytest.raises(UserError, match="cannot be read"):
    UserTable.load(tmp_path)
