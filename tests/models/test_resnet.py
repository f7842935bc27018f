import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.resnet import ResNet, stages_of
from pretrainjax.types import Encoder


@pytest.fixture(scope="module")
def small():
  return ResNet(depth=18, stem="cifar", rngs=nnx.Rngs(0))


def images(size=16):
  return np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize(
  ("depth", "stem", "classes", "published"),
  # torchvision's, but for pytorchcv's resnet10; 11.17 million is what CIFAR papers quote.
  [
    (10, "imagenet", 1000, 5_418_792),
    (18, "imagenet", 1000, 11_689_512),
    (34, "imagenet", 1000, 21_797_672),
    (50, "imagenet", 1000, 25_557_032),
    (101, "imagenet", 1000, 44_549_160),
    (152, "imagenet", 1000, 60_192_808),
    (18, "cifar", 10, 11_173_962),
  ],
)
def test_parameter_counts_are_the_published_ones(depth, stem, classes, published):
  model = nnx.eval_shape(lambda: ResNet(depth=depth, stem=stem, rngs=nnx.Rngs(0)))
  count = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
  assert count + classes * (model.embed_dim + 1) == published


@pytest.mark.parametrize(
  ("depth", "stem", "size", "grid", "width"),
  [(18, "cifar", 32, 4, 512), (18, "imagenet", 64, 2, 512), (50, "imagenet", 64, 2, 2048)],
)
def test_shapes(depth, stem, size, grid, width):
  def encode(images):
    model = ResNet(depth=depth, stem=stem, rngs=nnx.Rngs(0))
    return model(images), isinstance(model, Encoder)

  encoded, is_encoder = jax.eval_shape(encode, jnp.zeros((2, size, size, 3), jnp.uint8))
  assert is_encoder is not None
  assert encoded.tokens.shape == (2, grid * grid, width)
  assert encoded.pooled.shape == (2, width)
  assert encoded.valid.shape == (2, grid * grid)


def test_training_moves_the_running_statistics_and_evaluation_does_not(small):
  graphdef, state = nnx.split(small)
  model = nnx.merge(graphdef, state)
  before = nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))
  model(images())
  jax.tree.map(
    np.testing.assert_array_equal, before, nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))
  )
  model(images(), deterministic=False)
  after = nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))
  assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), before, after)))


def test_zero_init_makes_branches_start_as_nothing(small):
  assert (small.stage2_block2.norm2.scale[...] == 0).all()
  model = nnx.eval_shape(lambda: ResNet(depth=50, rngs=nnx.Rngs(0)))
  assert model.stage1_block1.num_convs == 3
  x = jax.nn.relu(jax.random.normal(jax.random.key(0), (2, 4, 4, 128)))
  np.testing.assert_allclose(small.stage2_block2(x, deterministic=True), x, atol=1e-6)


def test_pooled_is_the_mean_of_tokens(small):
  encoded = small(images())
  np.testing.assert_allclose(encoded.pooled, encoded.tokens.mean(axis=1), atol=1e-6)


def test_bfloat16_computes_in_half_and_keeps_statistics_wide():
  model = ResNet(depth=18, stem="cifar", dtype="bfloat16", rngs=nnx.Rngs(0))
  encoded = model(images(), deterministic=False)
  assert encoded.tokens.dtype == jnp.bfloat16
  assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(model))} == {jnp.dtype("float32")}


def test_keep_is_refused(small):
  with pytest.raises(ValueError, match="keep must be None"):
    small(images(), keep=jnp.zeros((2, 1), int))


def test_stages_of_ones_own_are_those_of_a_depth():
  def shapes(**arguments):
    return nnx.state(nnx.eval_shape(lambda: ResNet(**arguments, rngs=nnx.Rngs(0))))

  own = stages_of(50)._asdict()
  assert shapes(depth=None, **own) == shapes(depth=50)
  odd = {"counts": (2, 1), "widths": (9, 14), "bottleneck": True, "stem_dim": 5}
  model = nnx.eval_shape(lambda: ResNet(depth=None, **odd, rngs=nnx.Rngs(0)))
  assert model.block_names == ("stage1_block1", "stage1_block2", "stage2_block1")
  assert model.embed_dim == 14 and model.stage2_block1.conv2.kernel.shape == (3, 3, 3, 3)


@pytest.mark.parametrize(
  "arguments, reason",
  [
    ({"counts": (1,)}, "expected depth=None beside it"),
    ({"depth": None, "counts": (1,)}, "expected counts, widths and bottleneck"),
    ({"depth": None, "counts": (1, 1), "widths": (8,), "bottleneck": False}, "one for each of"),
    ({"depth": None, "counts": (), "widths": (), "bottleneck": False}, "one for each of"),
    ({"depth": None, "counts": (1,), "widths": (3,), "bottleneck": True}, "at least 4"),
    ({"depth": None, "counts": (0,), "widths": (3,), "bottleneck": False}, "counts=.* expected"),
  ],
)
def test_stages_that_do_not_fit_are_refused(arguments, reason):
  with pytest.raises(ValueError, match=reason):
    ResNet(**arguments, rngs=nnx.Rngs(0))


def test_a_depth_that_is_none_is_refused():
  with pytest.raises(ValueError, match="depth=19: expected one of"):
    stages_of(19)
