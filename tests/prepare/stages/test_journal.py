"""What was committed is there, what was not is gone."""

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


def test_an_exception_takes_back_what_was_not_committed(tmp_path):
  with pytest.raises(KeyError):
    with open_journal(tmp_path) as journal:
      journal.put("a", 1)
      raise KeyError
  with open_journal(tmp_path) as journal:
    assert journal.get("a") is None
