"""What a config leaves open follows from the data and the network; what contradicts is refused."""

import types

import binaries
import pytest

from pretrainjax.config.text import load_config
from pretrainjax.errors import UserError
from pretrainjax.train.open_values import fill_in, filled_in

COLOUR = types.SimpleNamespace(
  names="pets",
  num_channels=3,
  image_size=32,
  image_mean=(0.5, 0.4, 0.3),
  image_std=(0.2, 0.2, 0.1),
  num_classes=7,
)
PIXELS = ("num_channels", "image_size", "image_mean", "image_std")
SIMCLR = str(binaries.ROOT / "configs/pretrain/image/simclr_resnet18_cifar10.py")
CLASSIFIER = str(binaries.ROOT / "configs/finetune/image/vit_fashion_mnist.py") + ":smoke"
CIFAR = str(binaries.ROOT / "configs/pretrain/image/mae_vit_cifar10.py")
GPT = str(binaries.ROOT / "configs/pretrain/text/gpt_sotu.py") + ":smoke"
BERT = str(binaries.ROOT / "configs/pretrain/text/bert_sotu.py") + ":smoke"
OPEN = {f"objective.backbone.{name}": "none" for name in PIXELS}


def filled(reference, prepared=COLOUR, **overrides):
  return fill_in(load_config(reference, overrides), prepared=prepared)


def test_pixels_sizes_and_the_decoder_follow_from_the_data():
  config = filled(binaries.MAE, **OPEN)
  backbone, decoder = config.objective.backbone, config.objective.decoder
  assert (backbone.num_channels, backbone.image_size) == (3, 32)
  assert (backbone.image_mean, backbone.image_std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
  assert (decoder.grid, decoder.patch_dim, decoder.num_prefix) == ((8, 8), 48, 1)
  assert decoder.encoder_dim == backbone.embed_dim
  sizes = {config.data.transform.size, *(e.transform.size for e in _read(config.evals))}
  assert sizes == {32}


def _read(evals):
  return (evals.knn.train, evals.knn.test, evals.collapse.data)


def test_one_size_that_is_typed_sets_all_others():
  config = filled(binaries.MAE, **OPEN, **{"data.transform.size": "48"})
  assert config.objective.backbone.image_size == 48 and config.objective.decoder.grid == (12, 12)
  assert config.evals.knn.test.transform.size == 48


def test_nothing_is_asked_of_data_that_decides_nothing():
  config = load_config(binaries.MAE)
  done = fill_in(config, prepared=types.SimpleNamespace(), checks_data=False)
  assert done.objective.decoder.grid == (7, 7)
  assert config.objective.decoder.grid is None, "the config itself stays as it is"


@pytest.mark.parametrize(
  ("overrides", "said"),
  [
    ({}, "config.objective.backbone.num_channels: found 1, .*3, .*config.data.datasets=pets"),
    (
      OPEN | {"objective.backbone.image_size": "28", "data.transform.size": "32"},
      "config.data.transform.size: found 32, expected 28, .*config.objective.backbone.image_size",
    ),
    (
      OPEN | {"objective.decoder.patch_dim": "16"},
      "config.objective.decoder.patch_dim: found 16, .*48, .*config.objective.backbone.patch_dim",
    ),
    (
      OPEN | {"evals.knn.test.transform.size": "28"},
      r"config.evals.\w+.\w+.transform.size: found 28, .*config.objective.backbone.image_size",
    ),
    (OPEN | {"data.transform.size": "30"}, "config.objective.backbone: patch_size=4: .*30 x 30"),
  ],
)
def test_a_contradiction_names_both(overrides, said):
  with pytest.raises(UserError, match=said):
    filled(binaries.MAE, **overrides)


def test_classes_follow_and_others_are_refused():
  config = filled(CLASSIFIER, **OPEN)
  assert config.objective.num_classes == config.objective.head.num_classes == 7
  with pytest.raises(UserError, match="config.objective.num_classes: found 10, .*=pets"):
    filled(CLASSIFIER, **OPEN, **{"objective.num_classes": "10"})
  with pytest.raises(UserError, match="head.num_classes: found 3, .*config.objective.num_classes"):
    filled(CLASSIFIER, **OPEN, **{"objective.head.num_classes": "3"})


def test_what_only_a_network_knows_is_asked_of_it():
  """A ResNet has no argument for the width of its features."""
  assert filled(SIMCLR).objective.projector.in_dim == 512


def test_the_learning_rate_follows_the_batch():
  assert filled(CIFAR).optimizer.learning_rate == 1.5e-3 * 1024 / 256
  smaller = filled(CIFAR, **{"data.batch_size": "128"})
  assert smaller.optimizer.learning_rate == 1.5e-3 * 128 / 256
  own = {"optimizer.learning_rate": "0.01"}
  alone = filled(CIFAR, **own, **{"optimizer.base_learning_rate": "none"})
  assert alone.optimizer.learning_rate == 0.01
  with pytest.raises(UserError, match="learning_rate: found 0.01 beside .*base_learning_rate"):
    filled(CIFAR, **own)


def test_text_follows_the_tokenizer_and_the_length():
  facts = {"vocab_size": 300, "special_ids": (0, 1, 2, 3, 4), "mask_id": 4}
  facts = types.SimpleNamespace(names="books", **facts)
  config = filled(GPT, facts, **{"data.length": "64"})
  assert (config.objective.backbone.vocab_size, config.objective.backbone.max_length) == (300, 64)
  assert config.evals.held_out.data.length == 64
  head = filled(BERT, facts).objective.head
  assert (head.vocab_size, head.embed_dim) == (300, 16)
  with pytest.raises(UserError, match="data.length: found 512, expected at most 64, .*max_length"):
    filled(GPT, facts, **{"data.length": "512", "objective.backbone.max_length": "64"})


def test_what_nothing_says_is_to_be_typed():
  class Photos(types.SimpleNamespace):
    @property
    def image_size(self):
      raise LookupError("the images of 'photos' are not squares of one size")

  known = {name: value for name, value in vars(COLOUR).items() if name != "image_size"}
  said = "config.data.transform.size: left open, but the images of 'photos' .* say --config.data"
  with pytest.raises(UserError, match=said):
    filled(binaries.MAE, Photos(**known), **OPEN)


def test_what_was_filled_in_is_told_once():
  config = load_config(binaries.MAE, OPEN)
  lines = filled_in(config, fill_in(config, prepared=COLOUR))
  assert "size=32 (in 4 places)" in " ".join(lines) or "size (in 4 places)=32" in lines
  assert "objective.decoder.grid=(8, 8)" in lines
