import math

import jax
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.gpt import GPT, gpt_size


def test_the_published_sizes_have_the_published_parameters():
  for name, count in {"small": 124_439_808, "xl": 1_557_611_200}.items():
    make = lambda name=name: GPT(  # noqa: E731
      vocab_size=50_257, max_length=1024, rngs=nnx.Rngs(0), **gpt_size(name)
    )
    params = nnx.state(nnx.eval_shape(make), nnx.Param)
    assert sum(math.prod(x.shape) for x in jax.tree.leaves(params)) == count


def test_weights_that_end_a_branch_start_narrower():
  sizes = {"embed_dim": 64, "num_layers": 8, "num_heads": 2, "mlp_dim": 64}
  model = GPT(vocab_size=50, max_length=64, rngs=nnx.Rngs(0), **sizes)
  for wide in (model.token_embedding, model.position_table, model.blocks.attention.query.kernel):
    np.testing.assert_allclose(np.std(wide[...]), 0.02, rtol=0.1)
  for narrow in (model.blocks.attention.out.kernel, model.blocks.mlp.down.kernel):
    np.testing.assert_allclose(np.std(narrow[...]), 0.02 / 4, rtol=0.1)


def test_a_misspelt_size_is_answered_with_the_nearest():
  with pytest.raises(ValueError, match="size 'smal'.*small"):
    gpt_size("smal")
