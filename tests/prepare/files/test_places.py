"""Places are tried in order, and all of them are named when none has it."""

import sys

import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.files.places import Unavailable, first_of, require, run


def missing(reason: str):
  def get():
    raise Unavailable(reason)

  return get


def test_the_first_that_has_it_is_taken(tmp_path):
  places = {"a": missing("x"), "b": lambda: tmp_path, "c": missing("never asked")}
  assert first_of(places, what="It", how="buy it") == tmp_path


def test_none_has_it():
  with pytest.raises(UserError) as caught:
    first_of({"a": missing("no\nfolder"), "b": missing("offline")}, what="It", how="buy it")
  assert str(caught.value) == (
    "It was not found; tried a: no folder; b: offline. To get it: buy it"
  )


def test_programs_that_are_missing_or_fail(tmp_path):
  with pytest.raises(Unavailable, match="no surely-not-there on this machine"):
    require("surely-not-there")
  run([sys.executable, "-c", "open('made', 'w')"], tmp_path)
  assert (tmp_path / "made").exists()
  program = "import sys; sys.exit('it broke')"
  with pytest.raises(Unavailable, match="failed with 1: it broke"):
    run([sys.executable, "-c", program], tmp_path)
  with pytest.raises(Unavailable, match="surely-not-there"):
    run(["surely-not-there"], tmp_path)
