import account
import jax
import jax.numpy as jnp


def test_kinds_add_up_and_the_longest_come_first():
  events = [
    account.Event("a", account.PRODUCTS, 0.5),
    account.Event("b", account.COPIES, 2.0),
    account.Event("a", account.PRODUCTS, 2.0),
  ]
  kinds = account.by_kind(events)
  assert kinds[account.PRODUCTS] == 2.5 and kinds[account.COPIES] == 2.0
  assert set(kinds) == set(account.KINDS) and sum(kinds.values()) == 4.5
  assert account.longest(events, 1) == [("a", 2.5)]


def test_kernels_of_a_gpu_are_told_by_their_names():
  names = {
    "nvjet_tst_128x256_64x4_2x1_v_bz_coopA_TNT": account.PRODUCTS,
    "sm90_xmma_dgrad_implicit_gemm_bf16": account.PRODUCTS,
    "cudnn_generated_fort_native_sdpa_sm90_flash_fprop": account.ATTENTION,
    "void pytorch_flash::flash_bwd_dq_dk_dv_loop_seqk_parallel_kernel": account.ATTENTION,
    "triton_poi_fused_gelu_3": account.GELU,
    "triton_per_fused_native_layer_norm_7": account.SUMS,
    "void at::native::multi_tensor_apply_kernel<FusedAdam>": account.OPTIMIZER,
    "Memcpy DtoD (Device -> Device)": account.COPIES,
    "loop_add_fusion_3": account.OTHER,
  }
  found = {name: account._kind(account._KERNEL_KINDS, name) for name in names}
  assert found == names


def test_a_step_of_ours_is_accounted_for():
  product = jax.jit(lambda x: jnp.sin(x @ x)).lower(jnp.ones((64, 64))).compile()
  x = jnp.ones((64, 64))
  events = account.jax_events(lambda: product(x).block_until_ready(), product.as_text(), 1)
  assert events and all(event.seconds > 0 for event in events)
  assert account.by_kind(events)[account.PRODUCTS] > 0
