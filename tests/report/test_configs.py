import pytest

from pretrainjax.config.shipped import shipped_names
from pretrainjax.config.text import load_config
from pretrainjax.errors import UserError
from pretrainjax.report.configs import config_list, config_page


def test_the_list_has_every_config_below_its_verb():
  lines = config_list().splitlines()
  verbs = [line for line in lines if not line.startswith(" ")]
  assert verbs == ["pretrain", "finetune", "evaluate"]
  words = [line.split()[0] for line in lines if line[:2] == "  " and line[2] != " "]
  assert sorted(words) == sorted(name.rpartition("/")[2] for name in shipped_names())
  assert max(map(len, lines)) <= 100


def test_words_filter_names_and_lines():
  lines = config_list(["SimCLR", "fashion"]).splitlines()
  assert lines[0] == "pretrain" and lines[1].startswith(
    "  simclr_vit_fashion_mnist  SimCLR (arXiv "
  )
  assert lines[2:] == [" " * 28 + lines[2].strip()]
  assert "pretrain\n" not in config_list(["evaluate"])
  with pytest.raises(
    UserError, match="no config has the words 'gpt_stou'; did you mean 'gpt_sotu'"
  ):
    config_list(["gpt_stou"])


def test_a_page_marks_what_overrides_changed():
  name = "mae_vit_fashion_mnist:smoke"
  changes = {"objective.mask_ratio": "0.6", "data.data_dir": "here"}
  lines = config_page(name, load_config(name, changes), load_config(name)).splitlines()
  assert lines[0].startswith("MAE (arXiv 2111.06377)")
  assert any(line.endswith("mae_vit_fashion_mnist.py, form 'smoke':") for line in lines)
  assert [line for line in lines if line.startswith("*")] == [
    "* objective.mask_ratio = 0.6  (was 0.75)",
    "* data.data_dir = 'here'  (was None)",
  ]
  assert "  train.duration.steps = 2" in lines
  assert "  objective: pretrainjax.objectives.masked.mae:MAE" in lines


def test_a_page_says_what_open_values_follow():
  config = load_config("mae_vit_fashion_mnist")
  lines = config_page("mae_vit_fashion_mnist", config, config).splitlines()
  assert "  objective.decoder.grid = None  (follows objective.backbone.grid)" in lines
  assert any(line.startswith("  objective.decoder.mlp_dim = None") for line in lines)
  assert "  objective.decoder.mlp_dim = None" in lines, "what may be None follows nothing"
