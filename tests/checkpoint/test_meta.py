"""A checkpoint's word of itself: any change of it is found."""

import json
import random

import damage
import jax.numpy as jnp
import pytest

from pretrainjax.checkpoint.meta import check_arrays, check_fingerprint, describe
from pretrainjax.checkpoint.sealed import Damaged, read

CONFIG = {"seed": 0, "objective": {"_target": "x:Y", "mask_ratio": 0.75}}
STATE = {"params": {"kernel": jnp.arange(12.0).reshape(3, 4)}, "step": jnp.asarray(7)}


def write(folder, meta, config=CONFIG):
  for item, value in (("meta", meta), ("config", config)):
    (folder / item).mkdir(parents=True, exist_ok=True)
    (folder / item / "metadata").write_text(json.dumps(value))
  return folder


@pytest.fixture
def step(tmp_path):
  return write(tmp_path / "7", describe(7, STATE, CONFIG, interval={"steps": 3}))


def test_what_was_written_is_read(step):
  meta, config = read(step)
  assert meta["interval"] == {"steps": 3} and meta["step"] == 7 and config == CONFIG
  check_arrays(meta, STATE)
  check_fingerprint(meta, STATE)


@pytest.mark.parametrize("item", ["meta", "config"])
def test_a_flip_of_any_bit_is_found(item, step):
  path = step / item / "metadata"
  whole = path.read_bytes()
  chance = random.Random(0)
  for _ in range(300):
    damage.flip(path, chance)
    with pytest.raises(Damaged):
      read(step)
    path.write_bytes(whole)


@pytest.mark.parametrize("item", ["meta", "config"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"7", b"{" * 100_000, b"\xff\x00"])
def test_other_content_is_found(item, content, step):
  (step / item / "metadata").write_bytes(content)
  with pytest.raises(Damaged):
    read(step)


def test_absence_is_found(step):
  (step / "config" / "metadata").unlink()
  with pytest.raises(Damaged, match="config cannot be read"):
    read(step)


def test_a_copy_under_another_number_is_found(step):
  with pytest.raises(Damaged, match="is a copy of step 7"):
    read(step.rename(step.with_name("70")))


def test_the_config_of_another_step_is_found(step):
  write(step, read(step)[0], CONFIG | {"seed": 1})
  with pytest.raises(Damaged, match="checksum differs in config"):
    read(step)


def test_arrays_of_other_names_shapes_and_bits_are_found(step):
  meta, _ = read(step)
  renamed = {"params": {"kernem": STATE["params"]["kernel"]}, "step": STATE["step"]}
  with pytest.raises(Damaged, match="params.kernel was saved as float32"):
    check_arrays(meta, renamed)
  for other in (renamed, {"params": STATE["params"]}, STATE | {"step": jnp.asarray(8)}):
    with pytest.raises(Damaged, match="checksum differs in"):
      check_fingerprint(meta, other)
