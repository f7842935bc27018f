"""Writes a folder that timm loads: `timm.create_model("local-dir:FOLDER", pretrained=True)`."""

import importlib
import json
from pathlib import Path
from typing import Any

from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.safetensors import WHOLE
from pretrainjax.errors import UserError
from pretrainjax.export.networks import Networks
from pretrainjax.export.write import IMAGE_SIZE, Written, recipes_of, write_weights

_WHOLE = 1 << 62  # timm reads one file


def write_timm(
  folder: Path,
  networks: Networks,
  *,
  kind: str | None = None,
  dtype: str = "float32",
) -> Written:
  """Writes the weights by timm's names, and config.json, which says the scaling of images too.

  Args:
    folder: the folder, which is there.
    networks: what is exported.
    kind: the class of timm; None takes the one that holds the networks.
    dtype: one of `DTYPES`.
  """
  found = class_for(networks.recipes, kind=kind, library="timm")
  family, name, arguments = found
  how = {"tokens": Tokens(), "dtype": dtype, "max_shard_size": _WHOLE}
  written = write_weights(folder, networks, found, **how)
  config = family.write_config(recipes_of(networks, arguments), name, Tokens())
  size = networks.image_size or IMAGE_SIZE
  channels = networks.recipes["backbone"].num_channels
  config["pretrained_cfg"]["input_size"] = [channels, *size]
  (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
  return written._replace(library="timm")


def load_timm(folder: Path) -> Any:
  """The model that timm makes of a folder.

  Args:
    folder: the folder that was exported.

  Raises:
    UserError: where timm is not installed.
  """
  try:
    timm = importlib.import_module("timm")
  except (ImportError, RuntimeError) as error:
    raise UserError(f"--check: needs timm ({error})") from error
  config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
  if not is_small_stem(config):
    return timm.create_model(f"local-dir:{folder}", pretrained=True)
  torch, files = importlib.import_module("torch"), importlib.import_module("safetensors.torch")
  arguments = {**config["model_args"], "num_classes": config["num_classes"]}
  model = timm.create_model(config["architecture"], **arguments)
  convolution = {"kernel_size": 3, "padding": 1, "bias": False}
  model.conv1 = torch.nn.Conv2d(arguments["in_chans"], 64, **convolution)
  model.maxpool = torch.nn.Identity()
  model.load_state_dict(files.load_file(folder / WHOLE))
  return model


def is_small_stem(config: dict[str, Any]) -> bool:
  """Whether a config.json is of a ResNet with the stem for small images, which timm has not."""
  return config.get("pretrainjax", {}).get("stem") == "cifar"
