"""Recommenders by the real pipeline: a run that was stopped goes on to the same bits."""

import shutil

import jax
import numpy as np
import pytest
import synthetic
import toy_runs

from pretrainjax.checkpoint.encoder import load
from pretrainjax.config.text import load_config, override
from pretrainjax.train.assemble import assemble
from pretrainjax.train.learn_first import learns_first, learnt_first
from pretrainjax.types import Recommender

# What is learnt before step 1 (counts, features), and drawn in each, is there again.
FLAGS = {
  "esasrec": {"negatives": "popularity", "backbone.dropout": "0.2"},
  "bert4rec": {},
  "cl4srec": {},
  "two_tower": {},
}
NAMES = ["esasrec", *(pytest.param(n, marks=pytest.mark.repeat) for n in list(FLAGS)[1:])]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("data")
  synthetic.prepare("interactions", data_dir)
  return data_dir


def run_of(name, data_dir):
  config = load_config(f"configs/pretrain/items/{name}_interactions.py:smoke")
  config.data.data_dir = str(data_dir)
  for key, value in FLAGS[name].items():
    override(config, f"objective.{key}", value)
  config.train.duration.steps, config.train.checkpoint_every = 4, 2
  config.train.tracking.tensorboard = False
  config.evals = {}
  return assemble(config)


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_ends_with_the_same_bits(name, data_dir, tmp_path):
  to_run = run_of(name, data_dir)
  expected = toy_runs.run(to_run, tmp_path / "run")
  assert toy_runs.saved(tmp_path / "run") == [4, 2]
  shutil.copytree(tmp_path / "run", tmp_path / "again")
  shutil.rmtree(tmp_path / "again/checkpoints/4")
  state = toy_runs.run(run_of(name, data_dir), tmp_path / "again")
  jax.tree.map(np.testing.assert_array_equal, state, expected)
  assert all(np.isfinite(row["loss"]) for row in toy_runs.rows(tmp_path / "run"))
  encoder = load(tmp_path / "run").encoder
  assert isinstance(encoder, Recommender) and encoder.num_items == 50


def test_counts_and_features_are_learnt_before_the_first_step(data_dir):
  to_run = run_of("two_tower", data_dir)
  assert learns_first(to_run.objective)
  before = jax.jit(to_run.init)()
  after = learnt_first(to_run, before)
  known = after.extras["encoder"]["item_side"]["item_features"]
  assert known[1:3].tolist() == [[1, 3, 4], [2, 3, 4]]
  assert after.extras["popularity"]["totals"][-1] > 64 * 5
  jax.tree.map(np.testing.assert_array_equal, after.params, before.params)
