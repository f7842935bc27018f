"""Speeches are read from a folder of JSON files."""

import json

import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.contract import Unreadable
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.sets.sotu import Source


def fill(folder):
  folder.mkdir()
  facts = {"year": 1790, "name": "George Washington", "party": "none", "text": "Fellow-Citizens"}
  (folder / "1790_george_washington_n.json").write_text(json.dumps(facts))
  (folder / "1791_x_n.json").write_text('{"year": 1791}')
  (folder / "1790_george_washington_n.txt").write_text("not read")
  return folder


def records(source, tmp_path) -> list:
  with source.open(tmp_path) as corpus:
    return [record for part in corpus.parts() for record in part.records()]


def test_speeches_in_order_of_years(tmp_path):
  folder = str(fill(tmp_path / "raw"))
  assert records(Source(folder), tmp_path) == [
    Document("1790_george_washington_n", "Fellow-Citizens"),
    Unreadable("1791_x_n.json", "no speech (KeyError)"),
  ]
  first, _ = records(Source(folder, label="president"), tmp_path)
  assert first.label == "George Washington"


def test_a_folder_without_speeches(tmp_path):
  for folder, reason in ((tmp_path, "holds no YEAR_NAME_PARTY.json"), (tmp_path / "x", "no such")):
    with pytest.raises(UserError, match=f"State of the Union was not found; tried .*{reason}"):
      records(Source(str(folder)), tmp_path)
