import json

import numpy as np
import their_folders

from pretrainjax.checkpoint.encoder import load
from pretrainjax.convert import siglip_text
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields

KIND = "SiglipTextModel"
CONFIG = their_folders.CONFIGS[KIND]


def test_its_head_is_a_projector():
  recipes = siglip_text.read_config(Fields(CONFIG), KIND)
  assert recipes["projector"].out_dim == 5 and class_for(recipes)[1] == KIND
  written = siglip_text.write_config(recipes, KIND, Tokens())
  assert siglip_text.read_config(Fields(written), KIND) == recipes
  same = siglip_text.read_config(Fields(CONFIG | {"projection_size": None}), KIND)
  assert same["projector"].out_dim == 6


def test_rows_are_filled_up_with_what_the_tokenizer_says(tmp_path):
  folder = their_folders.make(tmp_path, KIND)
  assert load(f"hf:{folder}").encoder.fill_id == 1
  facts = {"pad_token": "<pad>", "added_tokens_decoder": {"0": {"content": "<pad>"}}}
  (folder / "tokenizer_config.json").write_text(json.dumps(facts))
  found = load(f"hf:{folder}")
  assert found.encoder.fill_id == 0
  short, filled = np.array([[4, 3]]), np.array([[4, 3, 0, 0, 0, 0, 0]])
  pooled = [found.encoder(tokens).pooled for tokens in (short, filled)]
  np.testing.assert_allclose(*pooled, atol=1e-6)
