"""A mesh that does not fit devices, batch or parameters, on 3, 6 and 8 devices.

The axis is named, on one process and under pmap; parameters that an axis does not divide are
replicated, and the run says nothing wrong.
"""

import time

import binaries
import pytest

ONE_STEP = ("--config.train.duration.steps=1", *binaries.QUICK)
FEW = (
  (3, ("--config.parallel.mesh.data=2",), "data=2 x fsdp=1 x tensor=1 x context=1"),
  (6, ("--config.parallel.mesh.fsdp=4",), "is 4, expected a divisor"),
  (8, ("--config.parallel.mesh.fsdp=3",), "is 3, expected a divisor"),
  (8, ("--config.data.batch_size=12",), "batch_size"),
  (3, ("--config.parallel.mode=pmap", "--config.data.batch_size=16"), "batch_size"),
)


def started(tmp_path, data, devices, *flags):
  places = (f"--config={binaries.MAE}", f"--workdir={tmp_path}", f"--data_dir={data}")
  return binaries.start("pretrain", *places, *ONE_STEP, *flags, devices=devices)


@pytest.mark.slow
def test_the_axis_is_named(tmp_path, data, trial):
  for number, (devices, flags, part) in enumerate(FEW):
    start = time.monotonic()
    ended = binaries.finish(started(tmp_path / str(number), data, devices, *flags))
    assert ended.status == 2, (flags, ended.errors[-3:])
    assert part in ended.errors[-1] and "Traceback" not in "".join(ended.errors), ended.errors
    trial(seconds=time.monotonic() - start)


@pytest.mark.slow
def test_parameters_that_an_axis_does_not_divide_are_replicated(tmp_path, data, trial):
  flags = ("--config.parallel.mesh.fsdp=6", "--config.data.batch_size=12")
  ended = binaries.finish(started(tmp_path, data, 6, *flags))
  assert ended.status == 0, ended.errors[-5:]
  trial()
