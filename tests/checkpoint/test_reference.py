"""What users call something trained."""

from pathlib import Path

import pytest

from pretrainjax.checkpoint.reference import Reference
from pretrainjax.errors import UserError


@pytest.mark.parametrize(
  ("text", "folder", "step", "part"),
  [
    ("a/b", "a/b", None, None),
    ("a/b@12", "a/b", 12, None),
    ("a/b:text", "a/b", None, "text"),
    ("/a.b/c-d@12:text_tower", "/a.b/c-d", 12, "text_tower"),
    ("runs/10:30", "runs/10:30", None, None),  # a time of day is no part
    ("gs://bucket/run@3", "gs://bucket/run", 3, None),
    ("gs://bucket/run:text", "gs://bucket/run", None, "text"),
  ],
)
def test_folder_step_and_part_are_told_apart(text, folder, step, part):
  found = Reference.parse(text)
  assert (str(found.folder), found.step, found.part) == (str(Path(folder)), step, part)
  if "://" not in text:
    assert str(found) == text


def test_a_reference_names_one_step():
  assert Reference.parse("a/b", step=3).step == 3
  assert Reference.parse("a@3", step=3).step == 3
  for text, step in (("a@x", None), ("a@3", 4), ("a@", None), ("a@3@4", None), ("a@3:", None)):
    with pytest.raises(UserError, match="expected WORKDIR"):
      Reference.parse(text, step=step)
