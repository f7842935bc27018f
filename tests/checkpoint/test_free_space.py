"""Whether a save fits."""

import errno
import os
from collections import namedtuple

import jax.numpy as jnp
import pytest

from pretrainjax.checkpoint import free_space

STATE = {"a": jnp.zeros((1024, 512)), "b": [jnp.zeros(1024, jnp.bfloat16)]}
BYTES = 1024 * 512 * 4 + 2048


def with_free(monkeypatch, count):
  usage = namedtuple("usage", "total used free")
  monkeypatch.setattr(free_space.shutil, "disk_usage", lambda _: usage(10**12, 0, count))


def test_a_state_needs_its_bytes_and_a_little_more(tmp_path, monkeypatch):
  with_free(monkeypatch, BYTES)
  assert free_space.lack_of_space(tmp_path, STATE) == "it takes 3.1 MB, and 2.1 MB are free"
  with_free(monkeypatch, BYTES + 2**21)
  assert free_space.lack_of_space(tmp_path, STATE) == ""


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_known_by_the_system_s_words(code):
  wrapped = ValueError(f"RESOURCE_EXHAUSTED: Error writing [{os.strerror(code)}] in many\nlines")
  assert free_space.full_disk_reason(wrapped) == os.strerror(code).lower()


def test_other_errors_are_not_a_full_disk():
  assert free_space.full_disk_reason(PermissionError(errno.EACCES, os.strerror(errno.EACCES))) == ""


def test_only_what_the_failed_save_left_is_removed(tmp_path):
  for name in (
    "7",
    "8",
    "8.orbax-checkpoint-tmp",
    "8.orbax-checkpoint-tmp-12",
    "18.orbax-checkpoint-tmp",
  ):
    (tmp_path / name / "state").mkdir(parents=True)
  free_space.remove_leftovers(tmp_path, 8)
  assert {path.name for path in tmp_path.iterdir()} == {"7", "8", "18.orbax-checkpoint-tmp"}
