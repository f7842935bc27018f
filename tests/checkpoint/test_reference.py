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
    ("a@x", "a@x", None, None),
    ("a@x@12", "a@x", 12, None),
    ("a@3@4", "a@3", 4, None),
    ("a@", "a@", None, None),
    ("a@3:", "a@3:", None, None),
    ("me@lab/a@3", "me@lab/a", 3, None),
    ("lr=1e-3,scale=_0.2,1.0_@7:text", "lr=1e-3,scale=_0.2,1.0_", 7, "text"),
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
  with pytest.raises(UserError, match="'a@3': found step 3 and step=4, expected one of them"):
    Reference.parse("a@3", step=4)


@pytest.mark.parametrize(
  ("text", "step", "part"),
  [
    ("a@5", None, None),
    ("a:b", None, None),
    ("a@5:b", None, None),
    ("a@5@7", 7, None),
    ("a:b@7", 7, None),
    ("a:b:text", None, "text"),
    ("a@5:text", None, "text"),
    ("a@5@7:text", 7, "text"),
  ],
)
def test_a_folder_of_the_whole_name_goes_first(text, step, part, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  ending = "".join(e for e in (f"@{step}" if step else "", f":{part}" if part else ""))
  folder = text.removesuffix(ending)
  Path(folder).mkdir()
  found = Reference.parse(text)
  assert (str(found.folder), found.step, found.part) == (folder, step, part)


def test_the_home_folder(monkeypatch):
  monkeypatch.setenv("HOME", "/home/me")
  assert str(Reference.parse("~/run@3:text")) == "/home/me/run@3:text"
  assert Reference.parse(Path("~/run")).folder == Path("/home/me/run")


@pytest.mark.parametrize("source", ["hf", "ct2"])
def test_models_of_others_have_no_steps(source):
  found = Reference.parse(f"{source}:a/b:decoder")
  assert (found.source, found.folder, found.part, found.noun) == (
    source,
    Path("a/b"),
    "decoder",
    "model",
  )
  assert str(found) == f"{source}:a/b:decoder" and Reference.parse("a/b").noun == "run"
  with pytest.raises(UserError, match=f"'{source}:a@3': found a step, expected {source}:FOLDER"):
    Reference.parse(f"{source}:a@3")
