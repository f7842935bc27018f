import re

import numpy as np
import pytest
from exported import SIZES, loaded

from pretrainjax.config.objects import recipe, spec
from pretrainjax.errors import UserError
from pretrainjax.export.check_program import cases_of, check_program, differences
from pretrainjax.export.function import function_of
from pretrainjax.export.program import PROGRAM, write_program, write_signature
from pretrainjax.models.bert import BERT
from pretrainjax.models.resnet import ResNet
from pretrainjax.objectives.imported import Imported


@pytest.fixture(scope="module")
def function():
  return function_of(loaded(spec(Imported, backbone=recipe(BERT, **SIZES))), part=None)


def test_it_runs_in_a_process_that_has_not_our_code(function, tmp_path):
  pytest.importorskip("flatbuffers", reason="pip install 'pretrainjax[stablehlo]'")
  how = {"platforms": ("cpu",), "place": "beside", "dtype": "float32", "max_shard_size": 10**9}
  write_signature(tmp_path, function, write_program(tmp_path, function, **how))
  lines = check_program(tmp_path, function).splitlines()
  assert len(lines) == 6
  assert lines[0].startswith("check 3 texts of 12 tokens: largest difference of ")
  largest = [float(value) for value in re.findall(r"[0-9.]+e[-+][0-9]+", "\n".join(lines))]
  assert len(largest) == 12 and max(largest) < 1e-5, lines
  (tmp_path / PROGRAM).write_bytes(b"no program")
  with pytest.raises(UserError, match="the program does not run by itself"):
    check_program(tmp_path, function)


def test_the_largest_difference_leaves_padding_out(function):
  cases = dict(cases_of(function))
  case = {"padded texts": cases["padded texts"]}
  given = case["padded texts"]
  expected = function.call(function.weights, *given.values())
  outputs = {f"padded texts/{name}": np.array(x) for name, x in expected.items()}
  outputs["padded texts/tokens"][given["segments"] == 0] = 9e9
  outputs["padded texts/pooled"][2, 1] += 5e-4
  line = differences(function, case, outputs)
  assert "pooled 5.00e-04" in line and "e+09" not in line
  outputs["padded texts/pooled"][2, 1] = np.nan
  with pytest.raises(UserError, match="of pooled of padded texts, outputs up to .* differ by nan"):
    differences(function, case, outputs)


def test_cases_are_ordinary_and_odd(function):
  cases = dict(cases_of(function))
  sizes = {given["tokens"].shape for given in cases.values()}
  assert {rows for rows, _ in sizes} == {1, 3, 8} and {n for _, n in sizes} == {1, 6, 12}
  assert cases["the last tokens of the vocabulary"]["tokens"].max() == 30
  padded = cases["padded texts"]["segments"].sum(axis=1)
  assert padded.min() == 1 and padded.max() == 6
  images = function_of(loaded(spec(Imported, backbone=recipe(ResNet, depth=10))), part=None)
  shapes = {given["images"].shape for given in dict(cases_of(images)).values()}
  assert shapes == {(3, 64, 96, 3), (1, 33, 47, 3), (8, 64, 96, 3)}
