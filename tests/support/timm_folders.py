"""Folders as timm writes them, made without it: the names and shapes of timm 1.0.31."""

import json
from pathlib import Path

import numpy as np

from pretrainjax.convert.safetensors import write

CASES = json.loads(Path(__file__).with_name("timm_tensors.json").read_text())


def config_of(name, **changes):
  """The content of a config.json; `changes` of the arguments of timm's class."""
  case = CASES[name]
  channels = case["model_args"].get("in_chans", 3)
  scaling = {"mean": [0.25] * channels, "std": [0.125] * channels}
  return {
    "architecture": case["architecture"],
    "num_classes": case["num_classes"],
    "model_args": case["model_args"] | changes,
    "pretrained_cfg": {"input_size": [channels, 6, 6], **scaling},
  }


def tensors_of(name):
  """Random tensors by their names; counters are 7, variances positive."""
  rng = np.random.default_rng(0)
  shapes = CASES[name]["shapes"].items()
  tensors = {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes}
  tensors |= {key: np.abs(tensor) for key, tensor in tensors.items() if key.endswith("_var")}
  return tensors | {key: np.int64(7) for key in tensors if key.endswith("tracked")}


def make(folder, name):
  """Writes a folder."""
  folder.mkdir(parents=True)
  tensors = tensors_of(name)
  shapes = {key: np.shape(tensor) for key, tensor in tensors.items()}
  counters = {key for key in tensors if key.endswith("tracked")}
  write(folder, shapes, tensors.__getitem__, counters=counters)
  (folder / "config.json").write_text(json.dumps(config_of(name)))
  return folder
