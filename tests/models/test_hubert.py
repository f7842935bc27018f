from flax import nnx

from pretrainjax.config.objects import build, recipe
from pretrainjax.models.hubert import HuBERT


def test_a_recipe_makes_one():
  sizes = {"embed_dim": 6, "num_layers": 1, "num_heads": 2, "mlp_dim": 4, "position_groups": 2}
  convs = {"conv_dims": (4,), "conv_sizes": (5,), "conv_strides": (3,)}
  made = build(recipe(HuBERT, **sizes, **convs), path="config")(rngs=nnx.Rngs(0))
  assert type(made) is HuBERT and made.receptive_field == 5
