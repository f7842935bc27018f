"""Columns of logs are guessed as a person would, and told."""

import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.items.columns import EventFields, TableFields, has_names


@pytest.mark.parametrize(
  ("row", "told"),
  [
    (
      {"user_id": "1", "item_id": "2", "rating": "3.0", "timestamp": "881250949"},
      "user=user_id, item=item_id, time=timestamp in s, rating=rating",
    ),
    (  # RetailRocket
      {"timestamp": 1433221332117, "visitorid": 257597, "event": "view", "itemid": 355908},
      "user=visitorid, item=itemid, time=timestamp in ms, event=event",
    ),
    (  # Amazon 2018
      {"overall": 5.0, "reviewerID": "A", "asin": "B", "unixReviewTime": 1e9, "reviewTime": "x"},
      "user=reviewerID, item=asin, time=unixReviewTime in s, rating=overall",
    ),
    (  # H&M
      {"t_dat": "2018-09-20", "customer_id": "a", "article_id": "b", "price": "1"},
      "user=customer_id, item=article_id, time=t_dat",
    ),
    (  # MovieLens's u.data
      {"1": "196", "2": "242", "3": "3", "4": "881250949"},
      "user=1, item=2, time=4 in s, rating=3",
    ),
    (
      {"1": "a", "2": "b", "3": "2020-01-02T03:04:05", "4": "view"},
      "user=1, item=2, time=3, event=4",
    ),
    ({"1": "a", "2": "b"}, "user=1, item=2, no times: the order of rows"),
    (
      {"userId": "1", "movieId": "2", "rating": "4", "timestamp": 1.7e15},
      "user=userId, item=movieId, time=timestamp in us, rating=rating",
    ),
  ],
)
def test_columns_are_guessed_and_told(row, told):
  assert EventFields().completed([row], file="log").described([row]) == told


def test_what_is_named_goes_before_a_guess():
  row = {"user": "a", "who": "b", "item": "c", "t": "5"}
  found = EventFields(user="who", time="t", unit="ms").completed([row], file="log")
  assert (found.user, found.item, found.time, found.unit) == ("who", "item", "t", "ms")
  assert found.names() == ["who", "item", "t"]


@pytest.mark.parametrize(
  ("fields", "reason"),
  [
    (EventFields(user="usr"), r"fields.user: 'log' has no 'usr'; did you mean 'user'"),
    (EventFields(), r"fields.item: expected the column of items of 'log', which has user, thing"),
  ],
)
def test_columns_that_are_not_there_are_refused(fields, reason):
  with pytest.raises(UserError, match=reason):
    fields.completed([{"user": "a", "thing": "b"}], file="log")


@pytest.mark.parametrize(
  ("columns", "told"),
  [
    (["movieId", "title", "genres"], "id=movieId, title=title, features=genres"),
    (["id", "name", "price"], "id=id, title=name, features=price"),
    (["code", "colour"], "id=code, features=colour"),
  ],
)
def test_columns_of_tables_are_guessed(columns, told):
  found = TableFields().completed(columns, of="item", file="items.csv", key="config.x")
  assert found.described() == told


def test_a_column_of_a_table_that_is_not_there_is_refused():
  with pytest.raises(UserError, match=r"--config.x.features: 'items.csv' has no 'gnre'"):
    TableFields(features=("gnre",)).completed(
      ["id", "genre"], of="item", file="items.csv", key="config.x"
    )


def test_a_first_row_that_names_users_and_items_is_a_header():
  assert has_names(["User ID", "item_id", "when"])
  assert not has_names(["u1", "i1", "2020-01-01"]) and not has_names(["user", "7"])
