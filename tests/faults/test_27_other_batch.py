"""Another batch size or number of workers at a restart: the same example is next, or a refusal."""

import signal

import binaries
import pytest
from trials import EVERY, JIT, STEPS, Trial, assert_same

from pretrainjax.checkpoint.manager import Checkpoints

READ = '--config.data.cache="none"'  # records in memory are not for workers


@pytest.mark.slow
def test_other_workers_change_no_bit(tmp_path, data, trial):
  calm, changed = (Trial(tmp_path / n, data, JIT, READ) for n in ("calm", "changed"))
  calm.to_the_end()
  changed.struck(signal.SIGKILL, rows=2 * EVERY)
  changed.to_the_end("--config.data.num_workers=2", "--config.data.num_threads=1")
  assert_same(calm.workdir, changed.workdir)
  ((lost_steps, seconds),) = changed.recoveries
  trial(lost_steps=lost_steps, seconds=seconds)


@pytest.mark.slow
def test_another_batch_size_is_refused_or_goes_on_at_the_same_example(tmp_path, data, trial):
  run = Trial(tmp_path, data, JIT)
  assert run.struck(signal.SIGTERM, rows=2 * EVERY).status == 42
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    before = checkpoints.steps()[0]
  refused = binaries.finish(run.start("--config.data.batch_size=8"))
  assert refused.status == 2 and "data.batch_size: 16 -> 8" in refused.errors[-1]
  odd = binaries.finish(run.start("--config.data.batch_size=1024", "--allow_config_change"))
  assert odd.status == 2, "no multiple of it was seen"
  assert f"expected a divisor of the {before * 16} examples" in odd.errors[-1]
  ended = run.to_the_end("--config.data.batch_size=8", "--allow_config_change")
  assert any(f"going on with example {before * 16}" in line for line in ended.errors)
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    position = int(checkpoints.arrays(STEPS)["position"])
  assert position == before * 2 + STEPS - before
  trial(lost_steps=0)
