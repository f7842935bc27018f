"""Flags and config files mean what was typed: words, whole numbers, truth values."""

import pytest
import synthetic
from ml_collections import ConfigDict

from pretrainjax.config import build, spec
from pretrainjax.config.allowed import TARGET, resolve
from pretrainjax.config.objects import hints_of
from pretrainjax.config.text import load_config, override
from pretrainjax.config.values import Unfit, fitted
from pretrainjax.data.image import RandomResizedCrop, Resize
from pretrainjax.data.image_data import ImageData
from pretrainjax.errors import UserError
from pretrainjax.evaluators.collapse import Collapse
from pretrainjax.prepare.config import default_config
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.warm_start import _references

FINETUNE, SIMCLR = "finetune/image/vit_fashion_mnist:smoke", "simclr_vit_b16_imagenet:smoke"
SWEPT = "learning_rate=1e-3,scale=_0.2,1.0_"


@pytest.mark.parametrize(
  "word",
  [
    f"W/{SWEPT}",
    "20241127",
    "1e5",
    "true",
    "-7",
    "(a,b)",
    "a=[1,2]",
    "0x10",
    "nan",
    "it's",
    "'",
    ",",
  ],
)
def test_a_word_is_taken_as_it_is(word):
  config = load_config(FINETUNE, {"init": word, "data.data_dir": word, "train.keep.metric": word})
  assert (config.init, config.data.data_dir, config.train.keep.metric) == (word, word, word)
  source = default_config("text")
  for key in ("tokenizer.path", "source.root", "fields.label", "data_dir"):
    if key.partition(".")[0] in source:
      override(source, key, word)
  assert (source.tokenizer.path, source.source.root, source.data_dir) == (word, word, word)


@pytest.mark.parametrize("none", ["None", "none", "null", "NONE"])
def test_none_is_no_word(none):
  config = load_config(FINETUNE, {"init": "x", "train.keep.metric": "x"})
  for key in ("init", "train.keep.metric"):
    override(config, key, none)
  assert config.init is None and config.train.keep.metric is None


def test_a_folder_of_a_sweep_is_one_run(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for name in (SWEPT, "a,b", "a", "20241127"):
    (tmp_path / name).mkdir()
  for text, runs in (
    (SWEPT, [SWEPT]),
    (f"{SWEPT}@5:text", [f"{SWEPT}@5:text"]),
    ("a,b", ["a,b"]),
    ("a, 20241127", ["a", "20241127"]),
    (f"a,{SWEPT},a,b", ["a", SWEPT, "a,b"]),
    ("none,there", ["none", "there"]),
  ):
    config = load_config(FINETUNE, {"init": text})
    assert [str(found) for _, found in _references(config.init)] == runs


def test_whole_numbers_in_tuples_of_floats():
  crop = build(spec(RandomResizedCrop, size=8, scale=(0.3, 1)))
  assert crop.scale == (0.3, 1.0) and {type(end) for end in crop.scale} == {float}
  for text in ("(0.2,1)", "0.2, 1", "[0.2, 1]"):
    config = load_config(SIMCLR, {"data.transform.scale": text})
    assert repr(config.data.transform.scale) == "(0.2, 1.0)"
    assert build(config.data).transform.scale == (0.2, 1.0)


@pytest.mark.parametrize(
  "key",
  [
    "optimizer.clip_norm",
    "optimizer.layer_decay",
    "optimizer.learning_rate",
    "optimizer.eps",
    "objective.backbone.layer_scale",
    "objective.backbone.dropout",
    "train.ema_decay",
    "train.log_every",
    "train.duration.epochs",
    "data.batch_size",
    "seed",
  ],
)
@pytest.mark.parametrize("word", ["true", "False"])
def test_no_truth_value_is_a_number(key, word):
  with pytest.raises(UserError, match=rf"--config.{key}: found '{word}' \(bool\), expected (f|i)"):
    load_config(FINETUNE, {key: word})


def numbers_of(config: ConfigDict):
  """(the part of a config, the key) of every number that a class takes."""
  for key in config:
    if isinstance(config[key], ConfigDict):
      yield from numbers_of(config[key])
    elif TARGET in config and config.get_type(key) in (int, float):
      yield config, key


@pytest.mark.parametrize("file", [FINETUNE, SIMCLR])
def test_no_number_of_a_config_becomes_one_by_assignment(file):
  found = list(numbers_of(load_config(file)))
  assert {"clip_norm", "dropout", "batch_size"} < {key for _, key in found}
  for part, key in found:
    part[key] = True
    assert part[key] is True
    with pytest.raises(Unfit, match="float|int"):  # as `build` finds it
      fitted(part[key], hints_of(resolve(part[TARGET], "config"))[key])


def test_nor_in_a_config_file():
  for name in ("clip_norm", "layer_decay", "weight_decay"):
    config = ConfigDict({"optimizer": spec(Optimizer, learning_rate=1.0, **{name: True})})
    with pytest.raises(UserError, match=f"config.optimizer.{name}: found True, expected float"):
      build(config)
    config = ConfigDict({"optimizer": spec(Optimizer, learning_rate=1.0)})
    setattr(config.optimizer, name, True)
    with pytest.raises(UserError, match=f"config.optimizer.{name}: found True, expected float"):
      build(config)
  with pytest.raises(UserError, match=r"scale: found \(True, 1.0\), expected tuple"):
    build(spec(RandomResizedCrop, size=8, scale=(True, 1.0)))


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"split": "trian"},
      "split: 'trian' is no split of fashion_mnist; did you mean 'train'",
    ),
    (
      {"split": "train[:0]"},
      "split: 'train.:0.' of fashion_mnist holds no",
    ),
    ({"datasets": "fashion"}, "datasets: no dataset 'fashion' in"),
    ({"label_fraction": 1e-9, "datasets": "bare"}, "datasets: no dataset"),
  ],
)
def test_a_message_names_the_flag_where_the_data_stands(changes, message, tmp_path):
  synthetic.prepare("fashion_mnist", tmp_path)
  data = spec(ImageData, datasets="fashion_mnist", batch_size=4, transform=spec(Resize, size=28))
  config = ConfigDict({"evals": {"held_out": spec(Collapse, data=data)}})
  for key, value in ({"data_dir": str(tmp_path)} | changes).items():
    override(config, f"evals.held_out.data.{key}", str(value))
  with pytest.raises(UserError, match=f"^--config.evals.held_out.data.{message}"):
    _ = build(config)["evals"]["held_out"].data.num_examples


def test_the_data_of_training_is_told_by_its_own_flag(tmp_path):
  data = {"datasets": "x", "batch_size": 4, "transform": spec(Resize, size=28)}
  for path, key in (("config", "config.data"), ("config.evals.knn", "config.evals.knn.data")):
    made = build(ConfigDict({"data": spec(ImageData, **data)}), path=path)["data"]
    assert made.config_key == key
  assert ImageData(**(data | {"transform": Resize(size=28)})).config_key == "config.data"
