"""The rows of the table that a run ends with."""

import dataclasses
import json

import toy_runs

from pretrainjax.report.outcome import outcome_rows


@dataclasses.dataclass(frozen=True)
class Measured:
  name: str = "any"
  every: int = 0

  def run(self, encoder):
    raise AssertionError("it has run already")

  def protocol(self):
    return {"data": {"class": "Data", "split": "validation"}}


def test_the_loss_and_what_was_measured_at_the_last_step(tmp_path):
  evaluators = {"knn": Measured(), "probe": Measured()}
  run = toy_runs.make(toy_runs.Batches(), steps=6, evaluators=evaluators, log_every=4)
  rows = [
    {"step": 4, "loss": 3.0, "knn/top1": 0.1, "early/x": 1.0},
    {"step": 6, "loss": 2.0, "grad_norm": 1.0, "perf/mfu": 0.4},
    {"step": 6, "knn/top1": 0.5, "probe/top1": 0.75},
  ]
  path = tmp_path / "metrics.jsonl"
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  found = outcome_rows(run, path, workdir=tmp_path)
  assert [(row.evaluator, row.metric, row.value, row.step) for row in found] == [
    ("training", "loss", 2.0, 6),
    ("knn", "top1", 0.5, 6),
    ("probe", "top1", 0.75, 6),
  ]
  assert found[0].protocol["loss"] == "mean of the last 2 steps, with augmentation and dropout"
  assert found[1].protocol == Measured().protocol()


def test_of_a_run_that_chose_a_step_the_numbers_are_of_that_one(tmp_path):
  evaluators = {"validation": Measured(), "test": Measured()}
  run = toy_runs.make(toy_runs.Batches(), steps=6, evaluators=evaluators, log_every=3)
  rows = [
    {"step": 3, "loss": 3.0},
    {"step": 3, "validation/top1": 0.9},
    {"step": 6, "loss": 2.0, "validation/top1": 0.5},
    {"step": 3, "test/top1": 0.75},
  ]
  path = tmp_path / "metrics.jsonl"
  path.write_text("".join(json.dumps(row) + "\n" for row in rows))
  found = outcome_rows(run, path, workdir=tmp_path, step=3)
  assert [(row.evaluator, row.metric, row.value, row.step) for row in found] == [
    ("training", "loss", 3.0, 3),
    ("validation", "top1", 0.9, 3),
    ("test", "top1", 0.75, 3),
  ]
  assert found[0].protocol["loss"].startswith("mean of the last 3 steps")


def test_a_run_without_numbers_has_none(tmp_path):
  run = toy_runs.make(toy_runs.Batches(), steps=6)
  assert outcome_rows(run, tmp_path / "metrics.jsonl", workdir=tmp_path) == []
