"""The examples of the documents run from top to bottom, and say what they promise."""

from pathlib import Path

import jax
import numpy as np
import pytest
import their_folders
import tiny_texts
from flax import nnx

import pretrainjax as pj
from pretrainjax.benchmark.stand_in import StandIn
from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.config.text import load_config
from pretrainjax.train.assemble import assemble

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "docs/examples").glob("*.py"))


@pytest.fixture(scope="module")
def workdirs(tmp_path_factory):
  """A folder with runs/mae, saved before its first step, and models/bert of random weights."""
  folder = tmp_path_factory.mktemp("examples")
  tokenizer = tiny_texts.tokenizer()
  sizes = {"vocab_size": tokenizer.vocab_size, "max_position_embeddings": 64}
  bert = folder / "models" / "bert"
  their_folders.make_other(bert, "BertForMaskedLM", tokenizer=tokenizer, **sizes)
  config = load_config(f"{ROOT / 'configs/pretrain/image/mae_vit_fashion_mnist.py'}:smoke")
  run = assemble(config, num_examples=512, prepared=StandIn(config))
  with Checkpoints(folder / "runs" / "mae") as checkpoints:
    checkpoints.save(0, jax.jit(run.init)(), config=run.config)
  return folder


@pytest.mark.repeat
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_runs(path, workdirs, monkeypatch):
  monkeypatch.chdir(workdirs)
  typed = {"__name__": "__main__"}
  with jax.numpy_rank_promotion("allow"):  # as in anybody's own code
    exec(compile(path.read_text(), str(path), "exec"), typed)
  # Features of random weights tell digits apart already; by chance it would be a tenth.
  if path.stem == "linear_probe":
    assert typed["accuracy"] > 0.5
  elif path.stem == "scikit_learn":
    assert min(typed["scores"].values()) > 0.5 and typed["map_of_digits"].shape == (1792, 2)
  elif path.stem == "optax_loop":
    assert typed["losses"][-1] < typed["losses"][0]
    assert typed["lora_losses"][-1] < typed["lora_losses"][0]
  elif path.stem == "continue_bert":
    assert np.mean(typed["losses"][-4:]) < np.mean(typed["losses"][:4])
    assert typed.get("difference", 0) < 1e-4  # where transformers is not installed
    for network in ("encoder", "head"):
      found = pj.load_params("hf:exported/bert", part=network)
      trained = nnx.to_pure_dict(nnx.state(typed["bert"].parts[network].module))
      jax.tree.map(np.testing.assert_array_equal, found, trained)


def test_they_are_in_our_style_and_linked():
  page = (ROOT / "docs/examples.md").read_text()
  for path in EXAMPLES:
    text = path.read_text()
    assert text.isascii() and text.startswith('"""') and "\n# %% " in text
    assert f"(examples/{path.name})" in page
