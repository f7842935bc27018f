"""From a config to a run: what is checked before anything slow is done."""

import binaries
import jax
import numpy as np
import pytest
import tiny_texts
from ml_collections import ConfigDict

from pretrainjax.config import spec
from pretrainjax.config.text import load_config
from pretrainjax.data.text_data import TextData
from pretrainjax.errors import UserError
from pretrainjax.evaluators.knn import KNN
from pretrainjax.objectives.base import Objective
from pretrainjax.train.assemble import Train, assemble
from pretrainjax.train.duration import Duration

LINEAR = str(binaries.ROOT / "configs/finetune/image/vit_fashion_mnist.py") + ":smoke"


def make(reference=binaries.MAE, num_examples=1000, **overrides):
  keys = {key.replace("__", "."): str(value) for key, value in overrides.items()}
  return assemble(load_config(reference, keys), num_examples=num_examples)


def test_durations_become_steps_once():
  assert make().total_steps == 2
  epochs = {"train__duration__steps": None, "train__duration__epochs": 2.0}
  assert make(**epochs).total_steps == 125  # 1000 examples in batches of 16, twice
  assert make(num_examples=64, **epochs).total_steps == 8


def test_needs_no_data_where_it_is_told_the_number():
  run = make(data__data_dir="/nowhere")
  assert run.abstract_state.step.shape == ()
  with pytest.raises(UserError, match="prepare it: .*--data_dir=/nowhere"):
    make(num_examples=None, data__data_dir="/nowhere")


def test_an_encoder_that_does_not_say_what_it_reads_is_refused(monkeypatch):
  class Silent:
    embed_dim = 3

  monkeypatch.setattr(Objective, "encoder", lambda self, module: Silent())
  message = "config.objective.backbone: Silent has no 'inputs', expected .*inputs.batch."
  with pytest.raises(UserError, match=message):
    make()


@pytest.mark.parametrize("key", ["seed", "objective", "data", "optimizer", "train"])
def test_a_missing_part_is_named(key):
  config = load_config(binaries.MAE)
  del config[key]
  with pytest.raises(UserError, match=f"sets no '{key}'"):
    assemble(config, num_examples=1000)


def test_parallel_and_evals_may_be_left_out():
  config = load_config(binaries.MAE)
  del config["parallel"], config["evals"]
  run = assemble(config, num_examples=1000)
  assert run.parallel.mode == "jit" and not run.evaluators


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"train__accumulate": 3}, "config.train.accumulate: found 3, expected a divisor .* 16"),
    ({"parallel__mesh__fsdp": 5}, "fsdp=5 .* does not make 1 devices"),
    (
      {"train__checkpoint_every": 0},
      "config.train.checkpoint_every: found '0' .*, expected at least 1",
    ),
    ({"train__ema_decay": 1.0}, "config.train.ema_decay: found '1.0' .*, expected in"),
    ({"objective__decoder__grid": (3, 3)}, "grid"),
  ],
)
def test_what_does_not_fit_is_refused(changes, message):
  with pytest.raises(UserError, match=message) as refusal:
    make(**changes)
  assert "\n" not in str(refusal.value)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
  """Where "notes" and "others" lie, of two tokenizers."""
  folder = tmp_path_factory.mktemp("texts")
  records = {"train": [{"tokens": [200 + i], "label": i % 2} for i in range(20)]}
  tiny_texts.write("notes", folder, records, class_names="ab")
  other = tiny_texts.tokenizer(380)
  tiny_texts.write("others", folder, records, class_names="ab", made=other)
  return folder


def on_texts(folder, evaluated: str):
  """A config whose data are texts; nothing is computed here, so any network will do."""

  def data(name: str):
    return spec(TextData, datasets=name, data_dir=str(folder), batch_size=16, length=8)

  config = load_config(binaries.MAE)
  config.data, read = data("notes"), data(evaluated)
  config.evals = ConfigDict({"knn": spec(KNN, train=read, test=read)})
  return config


def test_the_objective_sees_the_data_once_it_is_there(texts, monkeypatch):
  seen = []
  monkeypatch.setattr(Objective, "check", lambda self, data: seen.append(data.num_examples))
  assemble(on_texts(texts, "notes"), num_examples=1000)
  assert not seen
  assemble(on_texts(texts, "notes"))
  assert seen == [20]


def test_evaluators_read_what_the_network_learns(texts):
  assert assemble(on_texts(texts, "notes")).data.tokenizer.vocab_size == 400
  with pytest.raises(UserError, match="evals.knn.train.datasets: found tokenizer .*others"):
    assemble(on_texts(texts, "others"))


def test_the_average_of_weights_is_what_is_evaluated():
  run = make(train__ema_decay=0.9)
  abstract = run.abstract_state
  shapes = jax.tree.map(lambda x: x.shape, (abstract.ema, abstract.params))
  assert shapes[0] == shapes[1]
  state = abstract.replace(
    params=_filled(abstract.params, 1.0), ema=_filled(abstract.params, 2.0), extras={}
  )
  bias = lambda state: float(run.module(state).encoder.norm.bias[...][0])  # noqa: E731
  assert bias(state) == 2.0 and bias(state.replace(ema=None)) == 1.0
  assert jax.eval_shape(make().init).ema is None


def _filled(tree, value):
  return jax.tree.map(lambda x: np.full(x.shape, value, x.dtype), tree)


def test_what_the_objective_holds_fixed_stays_as_it_is():
  """Weight decay too would move a frozen backbone."""
  run = make(
    LINEAR, objective__tune="linear", objective__num_classes=10, optimizer__weight_decay=0.5
  )
  params = _filled(run.abstract_state.params, 1.0)
  updates, _ = jax.jit(lambda p: run.tx.update(p, run.tx.init(p), p))(params)
  assert not any(np.any(x) for x in jax.tree.leaves(updates["encoder"]))
  assert all(np.all(x != 0) for x in jax.tree.leaves(updates["head"]))


def test_train_has_ranges():
  with pytest.raises(ValueError, match="max_bad_steps=0"):
    Train(duration=Duration(steps=1), max_bad_steps=0)
