import logging
import math

import pytest

from pretrainjax.evaluators.results import Row, append_results, is_share, read_results


def row(value=0.5, **changes):
  fields = dict(evaluator="knn", metric="top1", value=value, encoder="trained", checkpoint="/w")
  return Row(**{**fields, "step": 10, "protocol": {"k": [20]}, **changes})


def test_rows_come_back_as_they_were(tmp_path):
  path = tmp_path / "new" / "results.jsonl"
  append_results(path, [row(), row(0.7, step=None)])
  append_results(path, [row(0.9)])
  assert [r.value for r in read_results(path)] == [0.5, 0.7, 0.9]
  assert read_results(path)[1].step is None and read_results(path)[0].protocol == {"k": [20]}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_json_cannot_hold_is_null(tmp_path, value):
  append_results(tmp_path / "r", [row(value)])
  assert '"value": null' in (tmp_path / "r").read_text()
  assert math.isnan(read_results(tmp_path / "r")[0].value)


def test_a_line_cut_off_by_a_crash_costs_only_itself(tmp_path, caplog):
  path = tmp_path / "r"
  append_results(path, [row(0.1), row(0.2)])
  path.write_text(path.read_text()[:-20])
  append_results(path, [row(0.3)])
  with caplog.at_level(logging.WARNING):
    assert [r.value for r in read_results(path)] == [0.1, 0.3]
  assert f"{path}:2: not a row" in caplog.text


def test_shares_are_what_lies_between_none_and_all():
  assert all(map(is_share, ("top1_k20_t0.07", "f1", "macro_f1", "recall@10", "reverse_mrr")))
  others = ("bits_per_byte", "loss", "perplexity", "mcc", "spearman", "nll", "uniformity")
  assert not any(map(is_share, others))
