"""Batches without data are as batches of data."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import synthetic
from ml_collections import ConfigDict

from pretrainjax.benchmark.batches import batch_shapes, noise_batch
from pretrainjax.benchmark.stand_in import StandIn
from pretrainjax.config import build
from pretrainjax.config.text import load_config
from pretrainjax.data.dataset import Dataset
from pretrainjax.data.fields.image import ImageField
from pretrainjax.data.fields.text import TextField
from pretrainjax.data.image import Resize
from pretrainjax.train.open_values import fill_in

CONFIGS = Path(__file__).parents[2] / "configs"
# With the name of its dataset.
SOME = {
  "pretrain/image/simclr_vit_fashion_mnist.py": "fashion_mnist",
  "pretrain/text/bert_sotu.py": "sotu",
  "finetune/text/simcse_wordnet.py": "wordnet",
  "finetune/text/bert_tokens.py": "tagged",
  "finetune/text/gpt_responses.py": "prompts",
}


def filled(name: str) -> ConfigDict:
  """A config without its data."""
  config = load_config(f"{CONFIGS / name}")
  return fill_in(config, prepared=StandIn(config), checks_data=False)


@pytest.mark.parametrize("name", SOME)
def test_shapes_are_those_of_the_data(name, tmp_path):
  synthetic.prepare(SOME[name], tmp_path, sizes={"train": 16, "test": 4, "validation": 4})
  config = filled(name)
  data = build(config.data, path="config.data")
  shapes = batch_shapes(data, config.objective)
  places = {"data_dir": str(tmp_path), "split": "train", "label_fraction": 1.0, "cache": "none"}
  real = next(dataclasses.replace(data, **places).one_pass())
  del real["valid"]
  assert real.keys() <= shapes.keys() | {"types"}
  for key in real.keys() - {"types"}:
    assert (shapes[key].shape, shapes[key].dtype) == (real[key].shape, real[key].dtype), key
  noise = noise_batch(data, config.objective)
  assert {k: (x.shape, x.dtype) for k, x in noise.items()} == {
    k: (x.shape, x.dtype) for k, x in shapes.items()
  }


def test_noise_is_the_same_at_every_call():
  config = filled("pretrain/text/gpt_sotu.py")
  data = build(config.data, path="config.data")
  first, second = (noise_batch(data, config.objective) for _ in range(2))
  np.testing.assert_equal(first, second)
  assert first["tokens"].max() < config.objective.backbone.vocab_size


def test_other_data_have_shapes_too():
  """Whatever its fields are: the data say their shapes."""
  data = Dataset(
    datasets="not/there",
    batch_size=2,
    fields={"image": ImageField(transform=Resize(6)), "text": TextField(length=5)},
  )
  objective = filled(list(SOME)[0]).objective
  shapes = {name: found.shape for name, found in batch_shapes(data, objective).items()}
  rows = dict.fromkeys(("tokens", "segments", "tags"), (2, 5))
  alone = {"image": (2, 6, 6, 1), "score": (2,), "label": (2,), "span": (2, 2)}
  assert shapes == rows | alone
