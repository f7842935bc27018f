"""A run is fine-tuned by low-rank updates, goes on exactly, and is used as any other."""

import shutil

import binaries
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import synthetic
from flax import nnx

import pretrainjax as pj
from pretrainjax.benchmark.stand_in import StandIn
from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.config.text import load_config
from pretrainjax.models.layers.lora import LORA_B, LoRALinear
from pretrainjax.objectives.lora import Adapted
from pretrainjax.objectives.supervised.classification import Classification
from pretrainjax.train.assemble import assemble

FINETUNE = f"--config={binaries.ROOT / 'configs/finetune/image/vit_fashion_mnist.py'}:smoke"
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
  """A run of MAE that was saved before its first step."""
  workdir = tmp_path_factory.mktemp("runs") / "mae"
  config = load_config(binaries.MAE)
  run = assemble(config, num_examples=512, prepared=StandIn(config))
  with Checkpoints(workdir) as checkpoints:
    checkpoints.save(0, jax.jit(run.init)(), config=run.config)
  return workdir


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  synthetic.prepare("fashion_mnist", folder)
  return folder


def finetune(capsys, data, workdir, *flags):
  places = (FINETUNE, f"--workdir={workdir}", f"--data_dir={data}", *flags)
  quick = ("--config.train.tracking.tensorboard=false", "--config.train.checkpoint_every=1")
  quick += ("--config.train.keep.last=2",)  # and not the best one alone
  return binaries.call(capsys, "finetune", *places, *quick)


def saved(workdir, step):
  with Checkpoints(workdir, read_only=True) as checkpoints:
    return checkpoints.arrays(step)


@pytest.mark.repeat
def test_from_a_run_to_an_encoder(pretrained, data, tmp_path, capsys):
  updates = (f"--config.init={pretrained}", "--config.lora.rank=2", "--config.lora.alpha=8.0")
  updates += ("--config.lora.dropout=0.1",)
  whole, again = tmp_path / "whole", tmp_path / "again"
  ended = finetune(capsys, data, whole, *updates)
  assert ended.status == 0, ended.errors
  assert "of them trained: " in ended.out and "attention/query/lora_a" in ended.out

  state = saved(whole, 2)
  source = nnx.to_pure_dict(nnx.state(pj.load_encoder(pretrained)))
  query = state["params"]["encoder"]["blocks"]["attention"]["query"]
  np.testing.assert_array_equal(
    query["kernel"], source["blocks"]["attention"]["query"]["kernel"], "held fixed to the bit"
  )
  assert np.any(query[LORA_B])
  moments = jax.tree_util.tree_leaves_with_path(state["opt_state"])
  kept = {jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in moments}
  assert any("encoder" in path and LORA_B in path for path in kept)
  assert not any("encoder" in path and "lora_" not in path for path in kept), kept

  # Killed after its first step, it ends with the same bits.
  shutil.copytree(whole, again)
  shutil.rmtree(again / "checkpoints" / "2")
  ended = finetune(capsys, data, again, *updates)
  assert ended.status == 0 and "going on from step 1 of 2" in ended.out, ended
  jax.tree.map(np.testing.assert_array_equal, saved(again, 2), state)

  check_what_is_loaded(whole)
  ended = finetune(capsys, data, tmp_path / "b", "--config.lora.rank=2")
  assert ended.status == 2 and "--config.lora.rank: found 2, but config.init" in ended.errors[-1]


def check_what_is_loaded(workdir):
  merged, beside = pj.load(workdir), pj.load(workdir, updates="beside")
  assert type(merged.objective) is Classification and isinstance(beside.objective, Adapted)
  kinds = [{type(m) for _, m in nnx.iter_modules(one.module)} for one in (merged, beside)]
  assert LoRALinear not in kinds[0] and LoRALinear in kinds[1]
  encoder = pj.load_encoder(workdir)
  outputs = [one(IMAGES).pooled for one in (encoder, merged.encoder, beside.encoder)]
  np.testing.assert_array_equal(outputs[0], outputs[1])
  np.testing.assert_allclose(outputs[0], outputs[2], atol=1e-6)
  arrays = nnx.to_pure_dict(nnx.state(encoder))
  jax.tree.map(np.testing.assert_array_equal, pj.load_params(workdir), arrays)
  cast = pj.load_params(workdir, dtype="bfloat16")
  jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y.astype(jnp.bfloat16)), cast, arrays)
  assert merged.parts["encoder"].config.patch_size == 4
  assert "lora       rank=2, alpha=8.0" in str(pj.describe(workdir))
