"""A run that others only let us read is evaluated all the same."""

import json

import binaries
import pytest
import synthetic

from pretrainjax.evaluators.results import RESULTS

EVALUATE = str(binaries.ROOT / "configs/evaluate/image/fashion_mnist.py") + ":smoke"
QUICK = ("--no_random_init", "--config.evals.linear_probe=None", "--config.evals.knn.k=(5,)")


@pytest.mark.repeat
def test_the_table_is_printed_and_out_stores_it_elsewhere(tmp_path, capsys):
  synthetic.prepare("fashion_mnist", tmp_path / "data")
  places = (f"--workdir={tmp_path / 'run'}", f"--data_dir={tmp_path / 'data'}")
  flags = ("--config.evals=None", "--config.train.duration.steps=0", *binaries.QUICK[:1])
  ended = binaries.call(capsys, "pretrain", f"--config={binaries.MAE}", *places, *flags)
  assert ended.status == 0, ended.errors
  # No folder: root may write to those that are read-only.
  (tmp_path / "run" / "evaluation").write_text("")

  ended = binaries.call(capsys, "evaluate", f"--config={EVALUATE}", *places, *QUICK)
  assert ended.status == 0
  assert "| knn       | top1_k5_t0.07" in ended.out and "| collapse  | rank_me" in ended.out
  (line,) = [line for line in ended.errors if line.startswith("evaluate:")]
  assert "cannot be written" in line and "--out=DIR stores it elsewhere" in line

  out = f"--out={tmp_path / 'mine'}"
  ended = binaries.call(capsys, "evaluate", f"--config={EVALUATE}", *places, *QUICK, out)
  assert ended.status == 0, ended.errors
  rows = [json.loads(line) for line in (tmp_path / "mine" / RESULTS).read_text().splitlines()]
  assert {row["evaluator"] for row in rows} == {"knn", "collapse"}
  assert list((tmp_path / "mine").glob("confusion_knn_0.png"))

  out = f"--out={tmp_path / 'run' / 'evaluation'}"
  ended = binaries.call(capsys, "evaluate", f"--config={EVALUATE}", *places, *QUICK, out)
  assert ended.status == 2 and "evaluating" not in ended.out
  assert ended.errors[-1].startswith("evaluate: error: --out: cannot write to ")
