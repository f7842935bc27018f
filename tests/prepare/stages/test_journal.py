"""What was committed is there, what was not is gone."""

import sqlite3

import pytest

from pretrainjax.prepare.stages.journal import open_journal


def test_only_what_was_committed_lasts(tmp_path):
  with open_journal(tmp_path) as journal:
    journal.put("a", {"x": [1, None]})
    journal.commit()
    journal.put("a", 2)
    assert journal.get("a") == 2
  with open_journal(tmp_path) as journal:
    assert journal.get("a") == {"x": [1, None]}
    assert journal.get("b") is None and journal.get("b", 3) == 3


def test_what_was_begun_is_taken_back_with_its_indices(tmp_path):
  with open_journal(tmp_path) as journal:
    journal.database.execute("CREATE TABLE x (a INTEGER)")
    journal.commit()
    journal.begin()
    journal.database.execute("CREATE INDEX by_a ON x (a)")
  with open_journal(tmp_path) as journal:
    journal.begin()
    journal.begin()
    journal.database.execute("CREATE INDEX by_a ON x (a)")
    journal.commit()
  with open_journal(tmp_path) as journal:
    with pytest.raises(sqlite3.OperationalError):
      journal.database.execute("CREATE INDEX by_a ON x (a)")


def test_an_exception_takes_back_what_was_not_committed(tmp_path):
  with pytest.raises(KeyError):
    with open_journal(tmp_path) as journal:
      journal.put("a", 1)
      raise KeyError
  with open_journal(tmp_path) as journal:
    assert journal.get("a") is None
