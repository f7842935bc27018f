"""Which step is meant where none is named."""

import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from pretrainjax.checkpoint.best import Best
from pretrainjax.checkpoint.chosen import choose_step, reason
from pretrainjax.checkpoint.manager import Checkpoints, Keep
from pretrainjax.config import spec


def save(workdir, numbers, **keep):
  """A run of one step a number, None for one that was not measured."""
  keep = Keep(last=9, **keep)
  config = ConfigDict({"train": {"keep": spec(Keep, last=9, metric=keep.metric, mode=keep.mode)}})
  with Checkpoints(workdir, keep=keep) as checkpoints:
    for step, number in enumerate(numbers, 1):
      checkpoints.save(step, {"params": {"a": jnp.ones(1)}}, config=config)
      known = {} if number is None else {"validation/top1": number}
      checkpoints.note(step, evaluators=["validation"], numbers=known)


@pytest.mark.parametrize(
  ("mode", "step", "why"),
  [
    ("max", 2, "the highest validation/top1, 0.9; the last step is 3, with 0.5"),
    ("min", 1, "the lowest validation/top1, 0.2; the last step is 3, with 0.5"),
  ],
)
def test_the_best_step_goes_before_the_last(mode, step, why, tmp_path):
  save(tmp_path, [0.2, 0.9, 0.5], metric="validation/top1", mode=mode)
  chosen, said = choose_step(f"{tmp_path}:encoder")
  assert (chosen.folder, chosen.step, chosen.part, said) == (tmp_path, step, "encoder", why)


def test_a_step_that_is_named_stays_and_so_does_a_run_that_chose_none(tmp_path):
  save(tmp_path / "chose", [0.9, 0.5], metric="validation/top1")
  save(tmp_path / "not", [0.9, 0.5])
  save(tmp_path / "unmeasured", [None, None], metric="validation/top1")
  assert choose_step(f"{tmp_path}/chose@2")[0].step == 2
  for text in ("not", "unmeasured", "no_run", "chose@2"):
    chosen, said = choose_step(f"{tmp_path}/{text}")
    assert str(chosen) == f"{tmp_path}/{text}" and said == ""


def test_the_reason_says_where_the_last_step_is_the_best_or_is_not_measured():
  keep = Keep(metric="v/f1")
  assert reason(Best(3, 0.5, 0.5), keep, last=3) == "the highest v/f1, 0.5, and the last step"
  assert reason(Best(2, 0.5, None), keep, last=3) == "the highest v/f1, 0.5; the last step is 3"


def test_a_model_of_transformers_is_no_run_whatever_lies_in_its_folder(tmp_path):
  save(tmp_path, [0.2, 0.9, 0.5], metric="validation/top1")
  chosen, said = choose_step(f"hf:{tmp_path}:encoder")
  assert (str(chosen), said) == (f"hf:{tmp_path}:encoder", "")
