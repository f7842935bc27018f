"""Fine-tuning from a checkpoint without a head, or with keys that the encoder lacks.

What is loaded, new and left behind is printed; what nobody expected is refused by name.
"""

import time

import binaries
import numpy as np
import pytest

from pretrainjax.checkpoint.encoder import load
from pretrainjax.checkpoint.surgery import transfer
from pretrainjax.errors import UserError
from pretrainjax.objectives.split import split

FINETUNE = f"--config={binaries.ROOT / 'configs/finetune/image/vit_fashion_mnist.py'}:smoke"


def command(finished, workdir, *more: str) -> tuple[str, ...]:
  where = (f"--workdir={workdir}", f"--data_dir={finished.data}")
  return FINETUNE, *where, f"--config.init={finished.workdir}", *binaries.QUICK[:1], *more


@pytest.mark.slow
def test_the_encoder_is_loaded_and_the_head_is_new(capsys, finished, tmp_path, trial):
  start = time.monotonic()
  ended = binaries.call(capsys, "finetune", *command(finished, tmp_path))
  assert ended.status == 0, ended.errors
  (line,) = [line for line in ended.out.splitlines() if line.startswith("init from")]
  assert "step 4: loaded " in line and "; the rest is new" in line
  assert "new: pool_norm/bias, pool_norm/scale" in line
  assert "left behind: norm/bias, norm/scale" in line
  trial(seconds=time.monotonic() - start)


REFUSED = {
  "new keys that are not expected": (
    ["--config.transfer.fresh=()"],
    "pool_norm/bias: wanted, not saved",
  ),
  "keys left behind that are not expected": (
    ["--config.transfer.unused=()"],
    "norm/bias: saved, not wanted",
  ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("flags", "said"), REFUSED.values(), ids=REFUSED)
def test_what_nobody_expected_is_refused(flags, said, capsys, finished, tmp_path, trial):
  start = time.monotonic()
  ended = binaries.call(capsys, "finetune", *command(finished, tmp_path / "run", *flags))
  assert ended.status == 2, ended
  assert (
    said in ended.errors[-1] and "--config.init: the checkpoint does not fit" in ended.errors[-1]
  )
  assert not (tmp_path / "run" / "checkpoints").exists(), "nothing was trained"
  trial(seconds=time.monotonic() - start)


@pytest.mark.slow
def test_where_nothing_fits_nothing_is_loaded(finished, trial):
  """Of another architecture, whatever is allowed to be new or left behind."""
  _, params, _ = split(load(finished.workdir).encoder)
  other = {"stem": {"kernel": np.zeros((3, 3, 1, 64), np.float32)}}
  with pytest.raises(UserError, match="--config.init: the checkpoint does not fit the encoder"):
    transfer(params, other, allow_fresh=("*",), allow_unused=("*",))
  smaller = {"norm": {"scale": np.zeros(8, np.float32), "bias": np.zeros(16, np.float32)}}
  with pytest.raises(UserError, match=r"norm/scale: saved \[16\], wanted \[8\]"):
    transfer(params, smaller, allow_unused=("*",))
  trial()
