import numpy as np
import pytest
from exported import SIZES, loaded

from pretrainjax.config.objects import recipe, spec
from pretrainjax.export import reload
from pretrainjax.export.function import function_of
from pretrainjax.export.program import write_program, write_signature
from pretrainjax.models.bert import BERT
from pretrainjax.objectives.imported import Imported

pytest.importorskip("flatbuffers", reason="pip install 'pretrainjax[stablehlo]'")


def test_it_reads_files_of_weights_and_runs_all_cases(tmp_path):
  function = function_of(loaded(spec(Imported, backbone=recipe(BERT, **SIZES))), part=None)
  how = {"platforms": ("cpu",), "place": "beside", "dtype": "float16", "max_shard_size": 500}
  facts = write_program(tmp_path, function, **how)
  write_signature(tmp_path, function, facts)
  assert len(facts["weights"]["files"]) > 1
  tokens = np.array([[3, 4, 5]], np.int32)
  inputs = {"tokens": tokens, "segments": np.ones_like(tokens), "types": np.zeros_like(tokens)}
  cases = {f"case {i}/{name}": x[:, i:] for i in (0, 1) for name, x in inputs.items()}
  np.savez(tmp_path / "inputs.npz", **cases)
  names = ("", "inputs.npz", "outputs.npz")
  assert reload.main([str(tmp_path / name) for name in names]) == 0
  rounded = {name: np.asarray(x, np.float16) for name, x in function.weights.items()}
  with np.load(tmp_path / "outputs.npz") as found:
    for i in (0, 1):
      expected = function.call(rounded, *(x[:, i:] for x in inputs.values()))
      for name, array in expected.items():
        np.testing.assert_allclose(found[f"case {i}/{name}"], array, atol=1e-5)
