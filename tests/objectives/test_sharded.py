"""One device computes what eight do; in a process of its own."""

import re
from pathlib import Path

import pytest
import simulated

SCRIPT = Path(__file__).with_name("on_eight_devices.py")
# One that hides patches, and one that compares a whole batch.
DEFAULT = ("mae", "vicreg")
REPEATS = (
  "masked_lm",
  "lora",
  "simclr",
  "causal_lm",
  "simcse",
  "token_classification",
  "ctc",
  "question_answering",
  "span_corruption",
  "electra",
  "distillation",
  "best_rq",
  "mae_of_sounds",
  "next_item",
  "next_item_of_all",
  "masked_items",
  "cl4srec",
)
# Beside best_rq, with which they share masks and means over tokens, and ctc.
SLOW = ("hubert", "wav2vec2", "attention_ctc", "item_retrieval")


@pytest.mark.parametrize(
  "names",
  [
    DEFAULT,
    pytest.param(REPEATS, marks=pytest.mark.repeat),
    pytest.param(SLOW, marks=pytest.mark.slow),
  ],
  ids=["default", "repeats", "slow"],
)
def test_one_device_equals_eight_pmapped_and_eight_sharded(names):
  simulated.run_on_devices(SCRIPT, *names, timeout=900)


def test_no_row_is_left_out():
  rows = re.findall(r'^  "(\w+)": Row\(', SCRIPT.read_text(), flags=re.MULTILINE)
  assert sorted(rows) == sorted((*DEFAULT, *REPEATS, *SLOW))
