"""Which evaluators run, when, and what becomes of those that fail or are stopped."""

import dataclasses
from typing import Any, ClassVar

import pytest
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.config import build, spec
from pretrainjax.config.allowed import ANYTHING
from pretrainjax.errors import UserError
from pretrainjax.evaluators.base import Evaluation, check_parts
from pretrainjax.process.interruptible import Interrupted
from pretrainjax.train.evaluation import (
  Opened,
  check_metric,
  due_evaluators,
  evaluate,
  open_evaluators,
  switched_on,
)


@dataclasses.dataclass(frozen=True)
class Data:
  """Examples of which only the number and the arrays are asked for."""

  num_examples: int = 3
  arrays: tuple[str, ...] = ("image",)
  error: str = ""
  config_key: ClassVar[str] = "config.data"

  def one_pass(self):
    raise AssertionError("nothing is read")

  def has(self, array):
    if self.error:
      raise UserError(f"--{self.config_key}.{self.error}")
    return array in self.arrays


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe(Evaluation):
  """Needs labels of one of its sets, and a head."""

  name: str = "probe"
  train: Any = Data(arrays=("label",))
  test: Any = Data()
  arrays = {"train": "label"}

  def check(self, subject):
    check_parts(subject, "head", expected="a classifier")

  def run(self, subject):
    return {"top1": subject.value}


class Network:
  head, value = "a head", 0.5


def opened(**evaluators):
  return open_evaluators(evaluators, encoder=Network(), module=nnx.Module())


def test_what_cannot_run_is_left_out_with_its_reason():
  assert opened(probe=Probe()).left_out == {}
  assert list(opened(probe=Probe()).evaluators) == ["probe"]
  found = opened(probe=Probe(train=Data(), test=Data(num_examples=0)), other=Probe())
  assert found.left_out == {"probe": "config.evals.probe.train has no labels"}
  assert list(found.evaluators) == ["other"]


def test_what_is_not_there_is_refused_at_the_key_where_it_lies():
  data = spec(Data, error="split: 'test' is no split of x; valid: train")
  probe = spec(Probe, train=data, test=spec(Data))
  evaluators = build(ConfigDict({"probe": probe}), path="config.evals", allow=ANYTHING)
  with pytest.raises(UserError, match="^--config.evals.probe.train.split: 'test' is no split"):
    opened(**evaluators)
  with pytest.raises(UserError, match="^--config.evals.probe.test.split: found no example"):
    opened(probe=Probe(test=Data(num_examples=0)))


def test_a_network_that_cannot_be_measured_is_refused():
  with pytest.raises(
    UserError, match="config.evals.a: found a object without 'head', expected a c"
  ):
    open_evaluators({"a": Probe()}, encoder=object(), module=nnx.Module())


def test_evaluators_of_other_packages_need_no_checks():
  class Other:
    name, every = "other", 0

    def run(self, encoder):
      return {"x": 1.0}

  assert list(opened(other=Other()).evaluators) == ["other"]


def test_none_is_switched_off():
  assert switched_on(None) == {}
  assert list(switched_on({"a": None, "b": Probe()})) == ["b"]


def test_a_number_to_keep_checkpoints_by_must_be_measured():
  found = Opened({"knn": Probe()}, {"probe": "no labels"})
  for metric in (None, "knn/top1", "probe/top1"):
    check_metric(metric, found)
  with pytest.raises(UserError, match="keep.metric: found 'kn/top1', expected .* mean 'knn'"):
    check_metric("kn/top1", found)


def test_all_are_due_at_the_end_and_none_before_the_first_step():
  often, last = Probe(every=3), Probe(every=0)
  due = {
    step: sorted(due_evaluators({"often": often, "last": last}, step=step, last_step=7))
    for step in range(8)
  }
  both = ["last", "often"]
  assert due == {0: [], 1: [], 2: [], 3: ["often"], 4: [], 5: [], 6: ["often"], 7: both}
  assert sorted(due_evaluators({"often": often, "last": last}, step=0, last_step=0)) == both


def test_numbers_have_the_name_of_their_evaluator():
  numbers = evaluate({"a": Probe(), "b": Probe()}, encoder=Network(), module=nnx.Module(), step=1)
  assert numbers == {"a/top1": 0.5, "b/top1": 0.5}


@pytest.mark.parametrize(
  ("error", "raised", "message"),
  [
    (ValueError("not\nfinite"), UserError, "config.evals.a: not finite"),
    (RuntimeError("out of memory"), RuntimeError, "^out of memory"),
  ],
)
def test_what_fails_fails_here(error, raised, message):
  class Fails(Probe):
    def run(self, subject):
      raise error

  with pytest.raises(raised, match=message):
    evaluate({"a": Fails()}, encoder=Network(), module=nnx.Module(), step=1)


def test_another_process_that_fails_or_stops_is_heard_of(monkeypatch):
  from pretrainjax.train import evaluation

  mine = '{"stopped": false, "failed": "", "numbers": {"a/top1": 0.25}}'
  for theirs, raised in (
    (mine.replace('""', '"out of memory"'), RuntimeError),
    (mine.replace("false", "true"), Interrupted),
  ):
    monkeypatch.setattr(evaluation, "gather", lambda *a, other=theirs, **k: [mine, other])
    with pytest.raises(raised):
      evaluate({"a": Probe()}, encoder=Network(), module=nnx.Module(), step=1)
  monkeypatch.setattr(evaluation, "gather", lambda *a, **k: [mine, mine])
  numbers = evaluate({"a": Probe()}, encoder=Network(), module=nnx.Module(), step=1)
  assert numbers == {"a/top1": 0.25}, "those of process 0"
