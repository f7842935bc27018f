"""What was measured of a step stands beside it, and damage of it is as if nothing had been."""

import json
import math
import random

import damage
import jax.numpy as jnp
import pytest

from pretrainjax.checkpoint.meta import describe
from pretrainjax.checkpoint.note import Note, not_yet_run, number, read, write
from pretrainjax.checkpoint.sealed import digest


@pytest.fixture
def step(tmp_path):
  """A folder of a saved step."""
  return save(tmp_path, describe(7, {"a": jnp.ones(2)}, {}))


def save(folder, meta):
  for item, value in (("meta", meta), ("config", {})):
    (folder / "7" / item).mkdir(parents=True, exist_ok=True)
    (folder / "7" / item / "metadata").write_text(json.dumps(value))
  return folder / "7"


def test_what_is_written_is_read_and_added_to(step):
  assert read(step) == Note()
  write(step, evaluators=["knn"], numbers={"knn/top1": 0.1, "knn/none": math.nan})
  write(step, evaluators=["collapse", "knn"], numbers={"knn/top1": 0.1 + 0.2})
  assert read(step).evaluators == ("collapse", "knn")
  assert number(step, "knn/top1") == 0.1 + 0.2, "to the last bit"
  assert math.isnan(number(step, "knn/none")) and math.isnan(number(step, "knn/other"))
  assert not_yet_run(step, ["knn", "probe"]) == ["probe"]


def test_damage_is_as_if_nothing_had_been_measured(step):
  write(step, evaluators=["knn"], numbers={"knn/top1": 0.5})
  path = step / "meta" / "evaluated.json"
  whole, chance = path.read_bytes(), random.Random(0)
  for _ in range(100):
    damage.flip(path, chance)
    assert read(step) == Note()
    path.write_bytes(whole)
  sealed = {"evaluators": ["knn"], "numbers": ["top1"]}
  others = json.dumps(sealed | {"seal": digest(sealed)}).encode()
  for content in (b"", b"[]", b"{}", b"7", b"[" * 100_000, b"\xff\x00", others):
    path.write_bytes(content)
    assert read(step) == Note()
    assert not_yet_run(step, ["knn"]) == ["knn"]


def test_older_versions_had_the_number_in_meta_and_had_evaluated_before(tmp_path):
  meta = describe(7, {"a": jnp.ones(2)}, {})
  del meta["seal"], meta["interval"]
  meta["metric"] = 0.25
  step = save(tmp_path, meta | {"seal": digest(meta)})
  assert number(step, "knn/top1") == 0.25
  assert not_yet_run(step, ["knn"]) == []
