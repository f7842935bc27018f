"""Bad safetensors: overlapping, beyond the end, a huge header, and tensors that are not ours.

The library refuses by the header, `convert` checks names, parts and depth,
and a manifest beside an export finds what the library cannot, bits that flipped.
"""

import json
import struct
import time

import damage
import numpy as np
import pytest
import safetensors.numpy
from their_tensors import noise, reader, theirs

from pretrainjax.checkpoint import manifest
from pretrainjax.config.objects import recipe
from pretrainjax.errors import UserError
from pretrainjax.models.gpt import GPT

KIND = "GPT2LMHeadModel"
SIZES = {"embed_dim": 6, "num_layers": 2, "num_heads": 2, "mlp_dim": 10}
RECIPES = {"backbone": recipe(GPT, vocab_size=11, max_length=7, **SIZES)}


@pytest.fixture(scope="module")
def tensors():
  return theirs(KIND, noise(RECIPES), RECIPES)


def file(header: dict | bytes, *, size: int | None = None, data: bytes = bytes(64)) -> bytes:
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  return struct.pack("<Q", len(text) if size is None else size) + text + data


def entry(start: int, end: int, shape: list[int], dtype: str = "F32") -> dict:
  return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


BAD = {
  "huge header": file(b"{}", size=1 << 40),
  "header of 2^64": file(b"{}", size=(1 << 64) - 1),
  "overlap": file({"a": entry(0, 16, [4]), "b": entry(8, 24, [4])}, data=bytes(24)),
  "beyond the end": file({"a": entry(0, 1 << 40, [1 << 38])}),
  "hole": file({"a": entry(0, 16, [4]), "b": entry(32, 48, [4])}, data=bytes(48)),
  "shape": file({"a": entry(0, 64, [1 << 62, 4])}),
  "dtype": file({"a": entry(0, 64, [16], "PICKLE")}),
  "no header": b"",
  "no JSON": file(b"\xff" * 40),
  "deep": file(b"[" * 100_000),
}


@pytest.mark.parametrize("name", BAD)
def test_the_library_refuses_by_the_header(name, tmp_path, trial):
  path = tmp_path / "model.safetensors"
  path.write_bytes(BAD[name])
  start = time.monotonic()
  with pytest.raises(Exception, match="(?i)header|offset|invalid|deseriali") as refusal:
    safetensors.numpy.load_file(path)
  assert not isinstance(refusal.value, MemoryError)
  assert time.monotonic() - start < 1.0
  trial(seconds=time.monotonic() - start)


def test_a_flipped_bit_is_found_by_the_manifest(tensors, tmp_path, trial):
  safetensors.numpy.save_file(tensors, tmp_path / "model.safetensors")
  manifest.write(tmp_path)
  assert manifest.verify(tmp_path)
  damage.flip(tmp_path / "model.safetensors")
  start = time.monotonic()
  safetensors.numpy.load_file(tmp_path / "model.safetensors")  # which sees nothing
  with pytest.raises(UserError, match=r"model.safetensors: is not what MANIFEST.json lists"):
    manifest.verify(tmp_path)
  trial(seconds=time.monotonic() - start)


def test_tensors_that_are_not_ours(tensors, trial):
  first = "transformer.h.0.attn.c_attn.weight"
  without = {name: tensor for name, tensor in tensors.items() if name != first}
  read = reader(KIND, RECIPES)
  deep = tensors | {"transformer.h.999999999.ln_1.weight": tensors["transformer.h.0.ln_1.weight"]}
  for bad, words in (
    (without, "missing tensors"),
    (tensors | {"transformer.extra": np.zeros(3)}, "unknown tensors"),
    (tensors | {first: np.zeros((6, 17), np.float32)}, "equal parts"),
    (tensors | {first: np.array(1, np.float32)}, "conversion: "),
    (tensors | {first: np.zeros((9, 18), np.float32)}, "conversion: "),
    (deep, "conversion: "),
    ({}, "missing tensors"),
  ):
    start = time.monotonic()
    with pytest.raises(UserError, match=words) as refusal:
      read(bad)
    assert str(refusal.value).isprintable() and time.monotonic() - start < 2.0
    trial(seconds=time.monotonic() - start)
