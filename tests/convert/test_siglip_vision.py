import their_folders

from pretrainjax.convert import siglip_vision
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.folder import open_model

KIND = "SiglipVisionModel"
CONFIG = their_folders.CONFIGS[KIND]


def read(**changes):
  return siglip_vision.read_config(Fields(CONFIG | changes), KIND)


def test_without_their_pooling_it_is_the_mean(tmp_path):
  recipes = read(vision_use_head=False)
  assert recipes["backbone"].pool == "mean"
  assert class_for(recipes)[1] == KIND
  written = siglip_vision.write_config(recipes, KIND, Tokens())
  assert written["vision_use_head"] is False
  names = {rule.theirs for rule in siglip_vision.table(recipes, KIND, Tokens()).rules}
  assert not any(".head." in name for name in names)


def test_patches_of_14_in_384_pixels_leave_an_edge():
  # The sizes of google/siglip-so400m-patch14-384.
  backbone = read(image_size=384, patch_size=14)["backbone"]
  assert backbone.cut_edges and backbone.image_size == 384


def test_queries_keys_and_values_of_the_pooling_are_fused(tmp_path):
  opened = open_model(their_folders.make(tmp_path, KIND))
  prefix = "vision_model.head.attention.in_proj"
  assert opened.tensors.shape(f"{prefix}_weight") == (24, 8)
  assert opened.tensors.shape(f"{prefix}_bias") == (24,)
  assert opened.sizes()["encoder"][0] == sum(
    opened.tensors.nbytes(name) // 4 for name in opened.tensors
  )
