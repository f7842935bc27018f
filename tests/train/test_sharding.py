import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from pretrainjax.errors import UserError
from pretrainjax.train.sharding import spec_of, state_specs

ONE = {"data": 1, "fsdp": 1, "tensor": 1, "context": 1}
BOTH = ONE | {"fsdp": 4, "tensor": 2}


@pytest.mark.parametrize(
  ("path", "shape", "expected"),
  [
    ("encoder/blocks/attention/query/kernel", (12, 768, 768), P(None, "fsdp", "tensor")),
    ("encoder/blocks/attention/query/bias", (12, 768), P(None, "tensor")),
    ("decoder/blocks/cross_attention/out/kernel", (12, 768, 512), P(None, "tensor", "fsdp")),
    ("encoder/blocks/mlp/down/kernel", (12, 3072, 768), P(None, "tensor", "fsdp")),
    ("encoder/blocks/attention/query/lora_a", (12, 768, 64), P(None, "fsdp", None)),
    ("encoder/blocks/attention/query/lora_b", (12, 64, 768), P(None, "fsdp", "tensor")),
    ("encoder/blocks/mlp/down/lora_a", (12, 3072, 64), P(None, "tensor", "fsdp")),
    ("encoder/blocks/mlp/down/lora_b", (12, 64, 768), P(None, None, "fsdp")),
    ("encoder/blocks/mlp/up/lora_a", (2, 64, 4), P(None, None, None)),
    ("encoder/stem/mlp/gate/kernel", (768, 3072), P("fsdp", "tensor")),
    ("encoder/token_embedding", (50304, 768), P("tensor", "fsdp")),
    ("decoder/output_table", (32128, 768), P("tensor", "fsdp")),
    ("head/bias", (30592,), P("tensor")),
    ("encoder/relative_bias/table", (32, 12), P(None, "tensor")),
    ("encoder/blocks/norm1/scale", (12, 768), P(None, None)),
    # What no table names: the longest axis that divides, never that of layers.
    ("projector/dense/kernel", (768, 2048), P(None, "fsdp")),
    ("encoder/blocks/other", (64, 30, 16), P(None, None, "fsdp")),
    ("head/classifier/kernel", (768, 7), P(None, None)),  # small: it costs more than it saves
    ("encoder/odd", (333, 333), P(None, None)),
  ],
)
def test_each_parameter_is_cut_as_the_tables_say(path, shape, expected):
  assert spec_of(f"params/{path}", shape, BOTH) == expected


def test_moments_are_cut_as_their_parameter():
  state = {
    "params": {"encoder": {"mlp": {"up": {"kernel": jnp.zeros((256, 512))}}}},
    "opt_state": ({"mu": {"encoder": {"mlp": {"up": {"kernel": jnp.zeros((256, 512))}}}}},),
  }
  specs = jax.tree.leaves(state_specs(state, BOTH), is_leaf=lambda x: isinstance(x, P))
  assert specs == [P("fsdp", "tensor")] * 2


def test_a_moment_of_lower_rank_is_no_parameter():
  assert spec_of("opt_state/v_row/mlp/up/kernel", (16384,), BOTH) == P("fsdp")


def test_one_device_cuts_nothing():
  assert spec_of("params/encoder/mlp/up/kernel", (768, 3072), ONE) == P(None, None)


def test_tensor_must_divide():
  with pytest.raises(UserError, match=r"found 5, expected a divisor of 768, which is axis 2"):
    spec_of("encoder/blocks/attention/query/kernel", (12, 768, 768), ONE | {"tensor": 5})
