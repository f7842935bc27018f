"""Open values without data: typical ones, but for those that decide what a step costs."""

from pathlib import Path

import pytest
import synthetic

from pretrainjax.benchmark.stand_in import StandIn
from pretrainjax.config.text import load_config

CONFIG = str(Path(__file__).parents[2] / "configs/pretrain/text/gpt_sotu.py")


def test_the_data_says_where_it_is_there(tmp_path):
  config = load_config(CONFIG, {"data.data_dir": str(tmp_path)})
  facts = StandIn(config)
  assert facts.vocab_size == 8192 and facts.num_classes == 10
  with pytest.raises(LookupError, match="the data is not there"):
    _ = facts.length
  synthetic.prepare("sotu", tmp_path, sizes={"train": 4})
  assert (StandIn(config).vocab_size, StandIn(config).length) == (400, 256)
