import pytest
import their_folders

from pretrainjax.convert import clip
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields

CONFIG = their_folders.CONFIGS["CLIPModel"]


def read(**changes):
  return clip.read_config(Fields(CONFIG | changes), "CLIPModel")


def test_both_directions_say_the_same():
  recipes = read(logit_scale_init_value=1.5)
  assert class_for(recipes)[:2] == (clip, "CLIPModel")
  assert (recipes["similarity"].log_scale, recipes["similarity"].bias) == (1.5, None)
  written = clip.write_config(recipes, "CLIPModel", Tokens(pad=0, begin=8, end=9))
  assert clip.read_config(Fields(written), "CLIPModel") == recipes
  text, vision = written["text_config"], written["vision_config"]
  assert (text["eos_token_id"], text["bos_token_id"], text["pad_token_id"]) == (9, 8, 0)
  assert text["projection_dim"] == vision["projection_dim"] == written["projection_dim"] == 5


def test_sizes_that_are_not_said_are_those_of_their_class():
  # As openai/clip-vit-base-patch32 has them.
  recipes = clip.read_config(Fields({}), "CLIPModel")
  image, text = recipes["image"], recipes["text"]
  assert (image.image_size, image.patch_size, image.embed_dim, image.mlp_dim) == (
    224,
    32,
    768,
    3072,
  )
  assert (text.vocab_size, text.max_length, text.embed_dim, text.num_heads) == (49408, 77, 512, 8)
  assert (text.end_id, text.causal, text.pool, text.eps) == (49407, True, "end", 1e-5)
  assert image.activation == text.activation == "quick_gelu"
  assert recipes["text_projector"].out_dim == 512
  assert image.image_mean[0] == pytest.approx(0.4815, abs=1e-4)


def test_old_files_have_towers_twice_of_which_the_second_ones_hold():
  old = {"hidden_size": 12, "num_attention_heads": 3}
  recipes = read(text_config_dict=old, vision_config_dict=None)
  assert (recipes["text"].embed_dim, recipes["text"].vocab_size) == (12, 49408)
  assert recipes["image"].embed_dim == 8


@pytest.mark.parametrize(
  ("network", "change"),
  [
    ("similarity", {"bias": -10.0}),
    ("image", {"patch_bias": True}),
    ("image", {"num_registers": 1}),
    ("image", {"image_size": (6, 9)}),
    ("text", {"causal": False}),
    ("text", {"end_id": 2}),
    ("text", {"fill_id": 0}),
    ("image_projector", {"num_layers": 2}),
    ("text_projector", {"use_bias": True}),
  ],
)
def test_a_run_that_their_class_cannot_be_is_not_written_as_one(network, change):
  recipes = read()
  assert clip.fits(recipes, "CLIPModel")
  with recipes[network].ignore_type():
    recipes[network].update(change)
  assert not clip.fits(recipes, "CLIPModel")
