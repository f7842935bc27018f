import sys
import types

import numpy as np
import pytest
import their_folders

from pretrainjax.checkpoint import manifest
from pretrainjax.checkpoint.encoder import load_encoder
from pretrainjax.convert.safetensors import TensorFolder
from pretrainjax.export.command import main

pytest.importorskip("flatbuffers", reason="pip install 'pretrainjax[stablehlo]'")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  folder = tmp_path_factory.mktemp("models")
  return f"--workdir=hf:{their_folders.make(folder / 'model', 'BertForSequenceClassification')}"


def test_a_folder_that_plain_jax_loads(run, tmp_path, monkeypatch, capsys):
  told = "check: no difference"
  monkeypatch.setattr("pretrainjax.export.stablehlo.check_program", lambda *_, dtype: told)
  out = tmp_path / "out"
  assert main([run, f"--out={out}", "--form=stablehlo", "--license=mit", "--check"]) == 0
  said = capsys.readouterr().out
  assert told in said and "program of StableHLO" in said
  assert manifest.verify(out)
  names = {path.name for path in out.iterdir()}
  expected = {"README.md", "MANIFEST.json", "program.jax_export", "signature.json"}
  assert names == expected | {"model.safetensors"}
  card = (out / "README.md").read_text()
  assert "library_name: jax\nlicense: mit" in card
  code = card.partition("```python\n")[2].partition("```")[0]
  assert "pooled: b 6" in code
  reader = types.ModuleType("safetensors.flax")  # its library need not be here
  reader.load_file = lambda path: dict(TensorFolder(path.parent))
  monkeypatch.setitem(sys.modules, "safetensors", types.ModuleType("safetensors"))
  monkeypatch.setitem(sys.modules, "safetensors.flax", reader)
  tokens = np.array([[3, 4, 5]], np.int32)
  names = {"tokens": tokens, "segments": np.ones_like(tokens), "types": np.zeros_like(tokens)}
  exec(code.replace("FOLDER", str(out)), names)
  expected = load_encoder(run.removeprefix("--workdir="))(tokens)
  np.testing.assert_allclose(names["outputs"]["pooled"], expected.pooled, atol=1e-5)


def test_mistakes_are_one_line(run, tmp_path, monkeypatch, capsys):
  out = f"--out={tmp_path}/o"
  for flags, message in (
    (["--platforms=cpu,gpu"], "--platforms: found 'gpu'"),
    (["--weights_place=within"], "--weights_place: found 'within'"),
    (["--compute_dtype=float16"], "--compute_dtype: found 'float16'"),
    (["--platforms=tpu", "--check"], "--check: found --platforms=tpu, expected cpu among them"),
  ):
    assert main([run, out, "--form=stablehlo", *flags]) == 2, flags
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1, error
  monkeypatch.setitem(sys.modules, "flatbuffers", None)
  assert main([run, out, "--form=stablehlo"]) == 2
  assert "pip install 'pretrainjax[stablehlo]'" in capsys.readouterr().err
  assert not list(tmp_path.iterdir())
