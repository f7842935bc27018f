"""Other data under a run's name are refused; other code, and what is not known, is told."""

import dataclasses
import logging
from typing import Any

import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

import pretrainjax
from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.errors import UserError
from pretrainjax.workdir import provenance as module
from pretrainjax.workdir.provenance import check_provenance, check_same_everywhere, provenance


def print_of(number: int, records: str | None = "a", files: str = "f") -> dict[str, Any]:
  return {"examples": {"train": number}, "features": "x", "records": records, "files": files}


@dataclasses.dataclass(frozen=True)
class Data:
  fingerprints: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Evaluator:
  train: Any
  k: int = 3


class Unreadable:
  @property
  def fingerprints(self):
    raise UserError("no such dataset")


def saved(workdir, made_with, step: int = 4):
  with Checkpoints(workdir, made_with=made_with) as checkpoints:
    checkpoints.save(step, {"w": jnp.zeros(2)}, config=ConfigDict({"a": 1}))


def made_with(**sets) -> dict[str, Any]:
  return provenance(Data(sets), {})


def test_it_is_of_the_data_of_training_and_of_evaluators_and_of_the_code():
  evaluators = {"knn": Evaluator(Data({"a": 1, "b": 2})), "odd": object()}
  found = provenance(Data({"a": 3}), evaluators | {"bad": Evaluator(Unreadable())})
  assert found["data"] == {"a": 3, "b": 2}
  assert found["code"]["version"] == pretrainjax.__version__ and len(found["code"]["source"]) == 16
  assert provenance(object(), {})["data"] == {}


def test_the_same_data_and_code_are_silent(tmp_path, caplog):
  now = made_with(a=print_of(3), b=print_of(4))
  check_provenance(tmp_path, now, allow_change=False)  # nothing was saved yet
  saved(tmp_path, now)
  check_provenance(tmp_path, now, allow_change=False)
  check_provenance(tmp_path, made_with(b=print_of(4), c=print_of(1)), allow_change=False)
  assert not caplog.records


def test_other_data_under_the_same_name_are_refused_unless_allowed(tmp_path, caplog):
  saved(tmp_path, made_with(a=print_of(3), b=print_of(4)))
  now = made_with(a=print_of(3, "other"), b=print_of(5))
  with pytest.raises(UserError) as refusal:
    check_provenance(tmp_path, now, allow_change=False)
  message = str(refusal.value)
  assert message.startswith(f"--data_dir: not the data that step 4 of '{tmp_path}' was trained on")
  assert "'a' has as many examples as it had, but others" in message
  assert "'b' has 5 train, and had 4 train" in message and "--allow_data_change" in message
  check_provenance(tmp_path, now, allow_change=True)
  assert ["going on with other data" in r.getMessage() for r in caplog.records] == [True]
  saved(tmp_path, now, step=8)  # from then on they are the run's
  check_provenance(tmp_path, now, allow_change=False)


@pytest.mark.parametrize(("key", "said"), [("source", "source 0"), ("version", "0.0.7")])
def test_other_code_is_told(key, said, tmp_path, caplog):
  now = made_with(a=print_of(3))
  saved(tmp_path, now | {"code": now["code"] | {key: said.split()[-1]}})
  check_provenance(tmp_path, now, allow_change=False)
  (record,) = caplog.records
  assert record.levelno == logging.WARNING and "\n" not in record.getMessage()
  assert "other code: step 4 was saved by pretrainjax " in record.getMessage()
  assert said in record.getMessage()


def test_checkpoints_of_earlier_versions_go_on_with_a_word(tmp_path, caplog):
  saved(tmp_path, None)
  check_provenance(tmp_path, made_with(a=print_of(3)), allow_change=False)
  assert ["step 4 does not say" in record.getMessage() for record in caplog.records] == [True]


def test_the_newest_intact_step_says_it(tmp_path):
  saved(tmp_path, made_with(a=print_of(3)), step=4)
  saved(tmp_path, made_with(a=print_of(9)), step=8)
  (tmp_path / "checkpoints" / "8" / "meta" / "metadata").write_text("{")
  check_provenance(tmp_path, made_with(a=print_of(3)), allow_change=False)


def test_any_change_of_the_source_is_another_digest(tmp_path, monkeypatch):
  package = tmp_path / "pretrainjax"
  (package / "deep").mkdir(parents=True)
  monkeypatch.setattr(module.pretrainjax, "__file__", str(package / "__init__.py"))
  digests = {module.source_digest()}
  for name, text in (("a.py", "x = 1"), ("a.py", "x = 2"), ("deep/b.py", ""), ("deep/c.py", "")):
    (package / name).write_text(text)
    digests.add(module.source_digest())
  (package / "notes.txt").write_text("no code")
  assert len(digests) == 5 and module.source_digest() in digests


def test_processes_with_other_data_are_named(monkeypatch):
  mine = made_with(a=print_of(3))
  others = {"a": print_of(4)}
  monkeypatch.setattr(
    module, "gather", lambda name, text: [text, repr(others) if "data" in name else text]
  )
  with pytest.raises(UserError, match=r"--data_dir: process 1 has other data than process 0"):
    check_same_everywhere(mine)
  monkeypatch.setattr(module, "gather", lambda name, text: [text, text])
  check_same_everywhere(mine)
