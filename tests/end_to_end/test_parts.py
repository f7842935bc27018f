"""Parts of one run in another one: a T5 keeps its decoder, whichever binary goes on with it."""

import binaries
import jax
import numpy as np
import pytest
import synthetic
from flax import nnx

import pretrainjax as pj

T5 = f"--config={binaries.ROOT}/configs/pretrain/text/t5_sotu.py:smoke"
# So slow that what was loaded is still there.
QUICK = ("--config.train.tracking.tensorboard=false", "--config.optimizer.learning_rate=1e-9")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  synthetic.prepare("sotu", folder)
  return f"--data_dir={folder}"


def arrays(workdir, part):
  return nnx.to_pure_dict(nnx.state(pj.load(workdir).parts[part].module))


def same(one, other) -> bool:
  close = jax.tree.map(lambda a, b: bool(np.allclose(a, b, atol=1e-6)), one, other)
  return all(jax.tree.leaves(close))


@pytest.mark.repeat
def test_a_t5_goes_on_whole_or_in_parts(data, tmp_path, capsys):
  first, whole, half = (tmp_path / name for name in ("first", "whole", "half"))

  def start(verb, workdir, *more):
    ended = binaries.call(capsys, verb, T5, f"--workdir={workdir}", data, *QUICK, *more)
    assert ended.status == 0, ended.errors
    return [line for line in ended.out.splitlines() if line.startswith("init")]

  assert start("pretrain", first, "--config.seed=1") == []
  both = start("finetune", whole, f"--config.init={first}", "--config.seed=2")
  assert [line.split()[1] for line in both] == ["encoder", "decoder"]
  for part in ("encoder", "decoder"):
    assert same(arrays(whole, part), arrays(first, part))
  (one,) = start("pretrain", half, f"--config.init={first}@2:decoder", "--config.seed=2")
  assert one.startswith(f"init from {first}@2:decoder, step 2: loaded ")
  assert same(arrays(half, "decoder"), arrays(first, "decoder"))
  assert not same(arrays(half, "encoder"), arrays(first, "encoder"))
  # The same command goes on; another init is another config.
  start("pretrain", half, f"--config.init={first}@2:decoder", "--config.seed=2")
  place = (f"--workdir={half}", data, *QUICK, "--config.seed=2")
  ended = binaries.call(capsys, "pretrain", T5, *place)
  assert ended.status == 2 and "init: " in ended.errors[-1] and " -> None" in ended.errors[-1]
