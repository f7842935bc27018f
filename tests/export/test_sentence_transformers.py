import json

import pytest
import their_folders

from pretrainjax.config.objects import recipe
from pretrainjax.convert.folder import read
from pretrainjax.errors import UserError
from pretrainjax.export.__main__ import main
from pretrainjax.export.sentence_transformers import write_sentence_transformers
from pretrainjax.models.mlp import MLP


@pytest.mark.parametrize("mode, pool", [("mean_tokens", "mean"), ("cls_token", "cls")])
def test_there_and_back(mode, pool, tmp_path):
  folder = their_folders.make(tmp_path / "model", "BertModel")
  (folder / "1_Pooling").mkdir()
  (folder / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{mode}": True}))
  flags = [f"--workdir=hf:{folder}", f"--out={tmp_path}/out", "--form=sentence-transformers"]
  assert main(flags) == 0
  assert read(tmp_path / "out").module.encoder.pool == pool
  modules = json.loads((tmp_path / "out" / "modules.json").read_text())
  assert [(one["path"], one["type"].rpartition(".")[2]) for one in modules] == [
    ("", "Transformer"),
    ("1_Pooling", "Pooling"),
  ]
  facts = json.loads((tmp_path / "out" / "sentence_bert_config.json").read_text())
  assert facts["max_seq_length"] == 7
  assert facts["model_args"] == {"add_pooling_layer": False}, "none that would be random"


def test_images_have_no_such_layout(tmp_path):
  with pytest.raises(UserError, match="for encoders of texts"):
    write_sentence_transformers(tmp_path, recipe(MLP, image_size=2, embed_dim=2), kind="MLP")
  assert not list(tmp_path.iterdir())
