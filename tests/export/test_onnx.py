import argparse
import json
import re
import sys

import pytest
import their_folders
from exported import SIZES, loaded

from pretrainjax.checkpoint.reference import Reference
from pretrainjax.config.objects import recipe, spec
from pretrainjax.errors import UserError
from pretrainjax.export.command import main
from pretrainjax.export.onnx import MODEL, make_onnx
from pretrainjax.export.program import SIGNATURE
from pretrainjax.models.bert import BERT
from pretrainjax.models.vit import ViT
from pretrainjax.objectives.imported import Imported

VIT = {"image_size": (4, 8), "patch_size": 4, "embed_dim": 8}
VIT |= {"num_layers": 2, "num_heads": 2, "mlp_dim": 6}


@pytest.mark.filterwarnings("ignore")  # of jax2onnx and the libraries that it imports
def test_it_computes_what_the_networks_do(tmp_path):
  for name in ("jax2onnx", "onnxruntime"):
    pytest.importorskip(name)
  run, options = loaded(spec(Imported, backbone=recipe(ViT, **VIT))), argparse.Namespace(allow=())
  made = make_onnx(tmp_path, run, reference=Reference.parse("run"), options=options)
  lines = made.check()
  assert max(map(float, re.findall(r"[0-9.]+e[-+][0-9]+", lines))) < 1e-4, lines
  signature = json.loads((tmp_path / SIGNATURE).read_text())
  assert signature["program"] == MODEL and signature["inputs"][0]["shape"] == ["b", 4, 8, 3]
  assert signature["outputs"][0] == {"name": "pooled", "shape": ["b", 8]}


def test_texts_are_refused(tmp_path):
  run, options = (
    loaded(spec(Imported, backbone=recipe(BERT, **SIZES))),
    argparse.Namespace(allow=()),
  )
  with pytest.raises(UserError, match="expected an encoder of images"):
    make_onnx(tmp_path, run, reference=Reference.parse("run"), options=options)
  assert not list(tmp_path.iterdir())


def test_what_is_missing_is_one_line(tmp_path, monkeypatch, capsys):
  folder = their_folders.make(tmp_path / "model", "BertModel")
  monkeypatch.setitem(sys.modules, "jax2onnx", None)
  flags = [f"--workdir=hf:{folder}", f"--out={tmp_path}/out", "--form=onnx"]
  assert main(flags) == 2
  error = capsys.readouterr().err
  assert "pip install --no-deps jax2onnx" in error and error.count("\n") == 1
  assert [path.name for path in tmp_path.iterdir()] == ["model"]
