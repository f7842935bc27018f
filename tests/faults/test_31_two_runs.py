"""Two runs in one workdir.

The second one refuses, naming host, process and age of the first, which goes on undisturbed; a lock
that was left behind is taken over.
"""

import os
import socket
import time

import binaries
import groups
import pytest
from trials import assert_same

from pretrainjax.workdir.lock import NAME, acquire


def test_whoever_trains_refuses(tmp_path, data, capsys, trial):
  """Fine-tuning too, which begins in the same way."""
  held = acquire(tmp_path, on_lost=lambda line: None)
  classes = str(binaries.ROOT / "configs/finetune/image/vit_fashion_mnist.py") + ":smoke"
  for verb, config in (("pretrain", binaries.MAE), ("finetune", classes)):
    start = time.monotonic()
    ended = binaries.call(
      capsys, verb, f"--config={config}", f"--workdir={tmp_path}", f"--data_dir={data}"
    )
    assert ended.status == 2
    expected = f"{verb}: error: --workdir: '{tmp_path}' is in use by a run that is alive: "
    assert ended.errors[-1].startswith(f"{expected}pid {os.getpid()} on {socket.gethostname()}")
    assert "0 min ago" in ended.errors[-1]
    trial(seconds=time.monotonic() - start)
  held.release()
  assert list(tmp_path.iterdir()) == [], "nothing was written"


@pytest.mark.slow
@pytest.mark.parametrize("layout", [groups.TWO, groups.ONE_PMAP], ids=str)
def test_the_second_refuses_and_the_third_takes_over(layout, tmp_path, data, calm, trial):
  first, second = (groups.Group(tmp_path / "run", data, layout) for _ in range(2))
  first.start()
  try:
    first.wait_for_rows(2)
    struck = time.monotonic()
    second.start()
    refused = second.finish()
    assert [e.status for e in refused] == [2] * layout.processes, refused
    assert (
      f"is in use by a run that is alive: pid {first.running[0].pid} on" in refused[0].errors[-1]
    )
    trial(lost_steps=0, seconds=refused[0].at - struck)
    if first.running[0].poll() is None:
      for process in first.running:
        process.kill()
  finally:
    first.kill()
    second.kill()
  first.finish()
  ended = second.to_the_end()
  assert "was left behind (no such process) and is taken over" in "".join(ended[0].errors)
  assert not (first.workdir / NAME).exists()
  assert_same(calm(layout), first.workdir)
