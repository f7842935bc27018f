"""A process that saves, and can be killed while it does; made from one that has imported all."""

import contextlib
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from pretrainjax.checkpoint.manager import Checkpoints, Keep

CONFIG = ConfigDict({"seed": 0})


def state(step: int, *, megabytes: float):
  """What no other step has, and does not compress."""
  rows = int(megabytes * 2**20 / 4 / 1024)
  noise = np.random.default_rng(step).integers(0, 2**32, (rows, 1024), np.uint32)
  return {"params": {"kernel": jnp.asarray(noise)}, "step": jnp.asarray(step)}


def assert_is(restored, step: int, *, megabytes: float) -> None:
  """All bits are those of the step."""
  jax.tree.map(np.testing.assert_array_equal, restored, state(step, megabytes=megabytes))


def save_on(workdir: Path, megabytes: float, last: int, first: int) -> None:
  """Saves step after step, until it is killed."""
  with Checkpoints(workdir, keep=Keep(last=last)) as checkpoints:
    for step in range(first, 10**6):
      checkpoints.save(step, state(step, megabytes=megabytes), config=CONFIG)


@contextlib.contextmanager
def saving(
  workdir: Path, *, megabytes: float, last: int = 2, first: int = 1
) -> Iterator[multiprocessing.Process]:
  """A process that does so; it is killed at the end."""
  context = multiprocessing.get_context("forkserver")
  context.set_forkserver_preload(["saver"])
  process = context.Process(target=save_on, args=(workdir, megabytes, last, first), daemon=True)
  process.start()
  try:
    yield process
  finally:
    process.kill()
    process.join()
