"""Old names in stored configs stand for the classes of today."""

import pytest

from pretrainjax.checkpoint.manager import Keep
from pretrainjax.config import spec
from pretrainjax.config.allowed import resolve
from pretrainjax.config.moved import MOVED, RENAMED, argument_today, today
from pretrainjax.config.objects import hints_of
from pretrainjax.config.text import from_json, read_json, to_json

KEEP = "pretrainjax.checkpoint.manager:Keep"


@pytest.mark.parametrize("old", sorted(MOVED))
def test_every_entry_leads_to_a_class_that_configs_may_name(old):
  assert resolve(old, "config") is resolve(today(old), "config")


@pytest.mark.parametrize("name", sorted(RENAMED))
def test_every_renamed_argument_is_one(name):
  assert set(RENAMED[name].values()) <= set(hints_of(resolve(name, "config")))


def test_moves_follow_one_another_and_never_in_a_circle(monkeypatch):
  monkeypatch.setitem(MOVED, "a:A", "b:B")
  monkeypatch.setitem(MOVED, "b:B", KEEP)
  assert today("a:A") == today("b:B") == today(KEEP) == KEEP
  assert resolve("a:A", "config") is Keep
  monkeypatch.setitem(MOVED, "b:B", "a:A")
  with pytest.raises(ValueError, match="a circle, a:A -> b:B -> a:A"):
    today("a:A")


def test_old_names_are_read_as_new_ones(monkeypatch):
  monkeypatch.setitem(MOVED, "old:Kept", KEEP)
  monkeypatch.setitem(RENAMED, KEEP, {"newest": "last"})
  assert argument_today(KEEP, "newest") == "last" and argument_today("b:B", "newest") == "newest"
  text = '{"keep": {"_target": "old:Kept", "newest": 5, "best": 1}}'
  assert read_json(text).keep.to_dict() == {"_target": KEEP, "last": 5, "best": 1}
  assert to_json(from_json(text).keep) == to_json(spec(Keep, last=5))


def test_reading_looks_for_no_class():
  text = '{"a": {"_target": "lab_of_nobody:Net", "x": {"_tuple": [1, 2]}}, "b": {"_target": 3}}'
  read = read_json(text)
  assert read.a.x == (1, 2) and read.b.to_dict() == {"_target": 3}
