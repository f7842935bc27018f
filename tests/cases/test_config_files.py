"""Config files of one's own: the line that fails, defaults that are objects, copies."""

import sys
from pathlib import Path

import binaries
import pytest

from pretrainjax.config.text import from_json, load_config, to_json
from pretrainjax.errors import UserError
from pretrainjax.train.assemble import assemble

WRONG = '''"""Line 8 is wrong."""

from ml_collections import ConfigDict


def get_config(arg=None):
  config = ConfigDict({"seed": 0})
  config.wrong = 1 / 0
  return config
'''
MINIMAL = """from ml_collections import ConfigDict
from pretrainjax.config import recipe, spec
from pretrainjax.data.image import RandomResizedCrop
from pretrainjax.data.image_data import ImageData
from pretrainjax.models.heads import Projector
from pretrainjax.models.vit import ViT
from pretrainjax.objectives.joint.simclr import SimCLR
from pretrainjax.train.assemble import Train
from pretrainjax.train.duration import Duration
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.parallel import Parallel


def get_config(arg=None):
  sizes = {"embed_dim": 16, "num_layers": 1, "num_heads": 2, "mlp_dim": 32, "num_channels": 1}
  backbone = recipe(ViT, image_size=28, patch_size=4, **sizes)
  projector = recipe(Projector, in_dim=16, hidden_dim=32, out_dim=16)
  crop = spec(RandomResizedCrop, size=28, scale=(0.3, 1))
  config = ConfigDict(sort_keys=False)
  config.seed = 0
  config.objective = spec(SimCLR, backbone=backbone, projector=projector)
  config.data = spec(ImageData, datasets="x", batch_size=16, views=2, transform=crop)
  config.optimizer = spec(Optimizer, learning_rate=1e-3)
  config.train = spec(Train, duration=spec(Duration, steps=2))
  config.parallel = spec(Parallel)
  return config
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
  monkeypatch.chdir(tmp_path)
  (tmp_path / "own.py").write_text(WRONG)
  (tmp_path / "minimal.py").write_text(MINIMAL)
  (tmp_path / "link.py").symlink_to("own.py")
  return tmp_path


def test_the_line_that_fails(here):
  for name in ("own.py", "./own.py", f"../{here.name}/own.py", here / "own.py", "link.py"):
    with pytest.raises(UserError, match="fails at line 8: ZeroDivisionError"):
      load_config(str(name))


@pytest.mark.parametrize(
  ("text", "line"),
  [
    ("x = 1\ny = (\n", 2),
    ("def f():\n  return g()\ndef g():\n  return [][0]\ndef get_config(arg=None):\n  f()\n", 4),
    ("import json\ndef get_config(arg=None):\n  x = 1\n  json.loads('{')\n", 4),
    ("\n\nimport no_such_module_here\n", 3),
  ],
)
def test_the_line_of_other_mistakes(text, line, here):
  (here / "own.py").write_text(text)
  for name in ("own.py", str(here / "own.py")):
    with pytest.raises(UserError, match=f"'{name}' fails at line {line}: "):
      load_config(name)


def test_a_class_that_moved_is_told_by_its_new_name(here):
  (here / "own.py").write_text("from pretrainjax.objectives.contrastive.simclr import SimCLR\n")
  with pytest.raises(UserError, match="line 1: .*; it is in pretrainjax.objectives.joint.sim"):
    load_config("own.py")


def test_a_config_that_needs_no_blocks(here):
  """Defaults that are objects are plain values too, so that the config can be stored."""
  config = load_config("minimal.py")
  assert config.train.keep.last == 2 and config.parallel.mesh.data == -1
  assert to_json(from_json(to_json(config))) == to_json(config)
  assert assemble(config, num_examples=64).total_steps == 2


def test_a_copy_of_a_shipped_config_runs(here, capsys, monkeypatch):
  monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", ".", str(binaries.ROOT))])
  name = "mae_vit_fashion_mnist"
  ended = binaries.call(capsys, "config", f"{name}:smoke", "--copy=mine.py")
  assert ended.status == 0 and ended.out.rstrip().endswith("--config=mine.py:smoke")
  assert to_json(load_config("mine.py:smoke")) == to_json(load_config(f"{name}:smoke"))
