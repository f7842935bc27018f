import pytest
import their_folders

from pretrainjax.convert import siglip
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields

KIND = "SiglipModel"
CONFIG = their_folders.CONFIGS[KIND]


def read(**changes):
  return siglip.read_config(Fields(CONFIG | changes), KIND)


def test_both_directions_say_the_same():
  recipes = read()
  assert class_for(recipes)[:2] == (siglip, KIND)
  assert recipes["similarity"].bias == -10.0 and "image_projector" not in recipes
  written = siglip.write_config(recipes, KIND, Tokens(begin=4, end=5))
  assert siglip.read_config(Fields(written), KIND) == recipes
  assert (written["text_config"]["pad_token_id"], written["text_config"]["eos_token_id"]) == (1, 5)


def test_sizes_that_are_not_said_are_those_of_their_class():
  # As google/siglip-base-patch16-224 has them.
  recipes = siglip.read_config(Fields({}), KIND)
  image, text = recipes["image"], recipes["text"]
  assert (image.image_size, image.patch_size, image.pool, image.use_cls) == (224, 16, "map", False)
  assert (text.vocab_size, text.max_length, text.fill_id, text.causal) == (32000, 64, 1, False)
  assert image.activation == text.activation == "gelu_tanh" and image.eps == text.eps == 1e-6
  assert recipes["text_projector"].use_bias and image.image_mean == (0.5,)


@pytest.mark.parametrize(
  ("network", "change"),
  [
    ("similarity", {"bias": None}),
    ("image", {"pool": "mean"}),
    ("image", {"final_norm": False}),
    ("image", {"layer_scale": 1.0}),
    ("text", {"causal": True}),
    ("text", {"pool": "end"}),
    ("text", {"fill_id": None}),
    ("text_projector", {"use_bias": False}),
  ],
)
def test_a_run_that_their_class_cannot_be_is_not_written_as_one(network, change):
  recipes = read()
  assert siglip.fits(recipes, KIND)
  with recipes[network].ignore_type():
    recipes[network].update(change)
  assert not siglip.fits(recipes, KIND)
