import json
import os

import ml_dtypes
import numpy as np
import pytest

from pretrainjax.convert.safetensors import INDEX, WHOLE, TensorFolder, write
from pretrainjax.errors import UserError

TENSORS = {
  "a": np.arange(6, dtype=np.float32).reshape(2, 3),
  "b": np.float32([1.5]),
  "c": np.zeros((0, 2), np.float32),
}


def written(folder, tensors=TENSORS, **how):
  shapes = {name: tensor.shape for name, tensor in tensors.items()}
  return write(folder, shapes, tensors.__getitem__, **how)


def file_of(header, data=b""):
  text = json.dumps(header).encode()
  return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("limit", [10**9, 20, 1])
def test_there_and_back(dtype, limit, tmp_path):
  files = written(tmp_path, dtype=dtype, max_shard_size=limit)
  assert (tmp_path / INDEX).is_file() == (len(files) > 1)
  found = TensorFolder(tmp_path)
  assert sorted(found) == sorted(TENSORS) and found.shape("a") == (2, 3)
  for name, expected in TENSORS.items():
    np.testing.assert_array_equal(found[name], expected)
    assert found[name].dtype == np.float32


def test_what_is_there_is_told_without_reading_it(tmp_path, monkeypatch):
  write(tmp_path, {"a": (2, 3)}, lambda name: np.ones((2, 3)), dtype="F16")
  tensors = TensorFolder(tmp_path)
  monkeypatch.setattr(TensorFolder, "__getitem__", lambda *_: pytest.fail("a tensor was read"))
  assert "a" in tensors and "b" not in tensors and len(tensors) == 1
  assert (tensors.shape("a"), tensors.dtype("a"), tensors.nbytes("a")) == ((2, 3), "float16", 12)


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
@pytest.mark.parametrize("limit", [10**9, 1])
def test_counters_stay_whole_numbers_at_an_aligned_place(dtype, limit, tmp_path):
  tensors = TENSORS | {"count": np.int64(1 << 40)}
  files = written(tmp_path, tensors, dtype=dtype, counters={"count"}, max_shard_size=limit)
  found = TensorFolder(tmp_path)
  assert found.integers("count") == 1 << 40 and found.integers("count").shape == ()
  np.testing.assert_array_equal(found["b"], TENSORS["b"])
  with pytest.raises(UserError, match="count is of I64, expected one of F32"):
    found["count"]
  with pytest.raises(UserError, match="b is of .*, expected one of I64"):
    found.integers("b")
  if limit > 1:
    header = json.loads(files[0].read_bytes()[8:].split(b"}}", 1)[0] + b"}}")
    assert header["count"]["data_offsets"] == [0, 8]


def test_half_precision_is_rounded_to_nearest(tmp_path):
  written(tmp_path, {"a": np.float32([1.00390625])}, dtype="BF16")
  expected = np.float32([1.00390625]).astype(ml_dtypes.bfloat16).astype(np.float32)
  np.testing.assert_array_equal(TensorFolder(tmp_path)["a"], expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(value, tmp_path):
  written(tmp_path, {"a": np.float32([1, value])})
  with pytest.raises(UserError, match="a holds numbers that are not finite"):
    TensorFolder(tmp_path)["a"]


@pytest.mark.parametrize(
  "header, data, reason",
  [
    ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234", "4 bytes of numbers"),
    ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"1234", "has 4 bytes for 'a'"),
    ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"1234", "nothing sensible"),
    ({"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}}, b"1234", "nothing sensible"),
    ({"a": {"dtype": "F32", "shape": [1 << 62], "data_offsets": [0, 4]}}, b"1234", "has 4 bytes"),
    ({"a": 3}, b"", "nothing sensible"),
    ([], b"", "no dictionary"),
    (
      {
        "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
      },
      b"1234",
      "overlap",
    ),
  ],
)
def test_headers_that_lie_are_refused(header, data, reason, tmp_path):
  (tmp_path / WHOLE).write_bytes(file_of(header, data))
  with pytest.raises(UserError, match=reason):
    TensorFolder(tmp_path)


@pytest.mark.parametrize("content", [b"", b"123", b"\xff" * 20, (10).to_bytes(8, "little") + b"{}"])
def test_what_is_no_such_file_is_refused(content, tmp_path):
  (tmp_path / WHOLE).write_bytes(content)
  with pytest.raises(UserError, match="is no safetensors file"):
    TensorFolder(tmp_path)


def test_another_dtype_is_refused_when_it_is_read(tmp_path):
  header = {"a": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}
  (tmp_path / WHOLE).write_bytes(file_of(header, b"12345678"))
  with pytest.raises(UserError, match="a is of I64, expected one of F32, F16, BF16"):
    TensorFolder(tmp_path)["a"]


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "a/b.safetensors", "x.bin", 3])
def test_an_index_cannot_lead_out_of_the_folder(name, tmp_path):
  (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
  with pytest.raises(UserError, match="expected NAME.safetensors beside it"):
    TensorFolder(tmp_path)


def test_links_that_lead_out_are_refused(tmp_path):
  (tmp_path / "other").mkdir()
  (tmp_path / "model").mkdir()
  written(tmp_path / "other")
  os.symlink(tmp_path / "other" / WHOLE, tmp_path / "model" / WHOLE)
  with pytest.raises(UserError, match="leads out of"):
    TensorFolder(tmp_path / "model")
  assert len(TensorFolder(tmp_path / "model", inside=tmp_path)) == 3


def test_an_index_that_lists_other_tensors_is_refused(tmp_path):
  written(tmp_path, max_shard_size=1)
  index = json.loads((tmp_path / INDEX).read_text())
  index["weight_map"]["d"] = index["weight_map"]["a"]
  (tmp_path / INDEX).write_text(json.dumps(index))
  with pytest.raises(UserError, match="has not the tensors that .* lists, 'd'"):
    TensorFolder(tmp_path)
  shard = next(tmp_path.glob("model-00001*"))
  shard.unlink()
  with pytest.raises(UserError, match="is missing, though"):
    TensorFolder(tmp_path)


def test_a_pickle_is_refused_with_the_line_that_converts_it(tmp_path):
  (tmp_path / "pytorch_model.bin").write_bytes(b"")
  with pytest.raises(UserError, match="save_pretrained"):
    TensorFolder(tmp_path)
