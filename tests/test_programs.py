"""What compiled training steps hold and send on eight devices, read from the programs themselves.

Numbers to hold them to follow from the configs: bytes of the state, of all logits, of one layer.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import simulated

pytestmark = pytest.mark.repeat  # of what objectives/test_sharded.py computes on eight devices

MESHES = (
  {"data": 8},
  {"fsdp": 8},
  {"tensor": 2, "fsdp": 4},
  {"data": 4, "context": 2},
  {"data": 2, "fsdp": 2, "context": 2},
)
NAMES = [" ".join(f"{k}={n}" for k, n in mesh.items()) for mesh in MESHES]
ROWS, LENGTH, VOCABULARY, WIDTH, LAYERS, HIDDEN = 16, 64, 4096, 128, 6, 256
SIZES = {
  "objective.backbone.vocab_size": VOCABULARY,
  "objective.backbone.max_length": LENGTH,
  "objective.backbone.embed_dim": WIDTH,
  "objective.backbone.num_layers": LAYERS,
  "objective.backbone.num_heads": 4,
  "objective.backbone.num_kv_heads": 2,
  "objective.backbone.mlp_dim": HIDDEN,
  "objective.backbone.unroll": 1,
  "objective.chunk_size": 32,
  "data.length": LENGTH,
  "data.batch_size": ROWS,
}
FLOAT32 = 4
LOGITS = ROWS * LENGTH * VOCABULARY * FLOAT32
TABLE = VOCABULARY * WIDTH * FLOAT32
LARGEST_KERNEL = WIDTH * HIDDEN * FLOAT32  # of one layer


@pytest.fixture(scope="module")
def printed():
  """What programs_on_eight_devices.py says of a small Llama."""
  out = simulated.run_on_devices(
    Path(__file__).parent / "support/programs_on_eight_devices.py",
    "configs/pretrain/text/llama_135m.py:smoke",
    json.dumps(SIZES),
    json.dumps(MESHES),
  )
  return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def programs(printed):
  return dict(zip(NAMES, printed["meshes"], strict=True))


def sends_logits(exchanges: list[dict]) -> bool:
  """Whether anything goes from device to device that is larger than the table of tokens."""
  return max(e["array_bytes"] for e in exchanges) > TABLE


def gathered_at_once(exchanges: list[dict]) -> int:
  """Bytes of what is gathered outside of loops, the table of tokens apart."""
  once = [e["array_bytes"] for e in exchanges if e["kind"] == "all-gather" and e["times"] == 1]
  return sum(once) - max([n for n in once if n in (TABLE, TABLE // 2)], default=0)


@pytest.mark.parametrize("name", NAMES[1:])
def test_every_mesh_computes_the_same(programs, name):
  np.testing.assert_allclose(programs[name]["losses"], programs[NAMES[0]]["losses"], rtol=1e-5)
  assert programs[name]["losses"][-1] < programs[name]["losses"][0] - 0.1, "it learns"


@pytest.mark.parametrize(
  ("name", "parts"),
  [(n, m.get("fsdp", 1) * m.get("tensor", 1)) for n, m in zip(NAMES, MESHES, strict=True)],
)
def test_a_device_is_given_its_part_of_the_state(programs, name, parts):
  """Cut by fsdp and tensor; norms and counters, which are small, stay whole."""
  found = programs[name]
  for kind in ("params", "optimizer"):
    assert found[kind] == pytest.approx(found["whole"][kind] / parts, rel=0.01)
    assert found[kind] >= found["whole"][kind] / parts
  # What the compiled program takes is that, its rows of the batch, and a few scalars.
  given = found["params"] + found["optimizer"] + found["batch"]
  assert found["arguments"] == pytest.approx(given, rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_never_exchanged(programs, printed, name):
  """Neither over the vocabulary nor over rows."""
  assert 7 * TABLE < LOGITS
  assert not any(sends_logits(exchanges) for exchanges in programs[name]["texts"])
  assert sends_logits(printed["controls"]["logits"]), "it would be seen"


@pytest.mark.parametrize("name", [n for n in NAMES if "fsdp" in n])
def test_layers_are_gathered_one_by_one(programs, printed, name):
  """Inside of the scan, a kernel at a time; of all else only the table of tokens at once."""
  for exchanges in programs[name]["texts"]:
    layers = [e for e in exchanges if e["kind"] == "all-gather" and e["times"] == LAYERS]
    assert layers and max(e["array_bytes"] for e in layers) <= LARGEST_KERNEL
    assert gathered_at_once(exchanges) < LARGEST_KERNEL / 100  # scales of a norm, numbers of rows
  stack = LAYERS * WIDTH * WIDTH * FLOAT32
  assert gathered_at_once(printed["controls"]["stack"]) == stack, "it would be seen"
