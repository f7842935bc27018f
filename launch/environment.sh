#!/usr/bin/env bash
# What a process needs in its environment before JAX starts, in one place: every launcher starts its
# processes through this file, and the images have it as their entrypoint.
#
#   launch/environment.sh python -m pretrainjax.pretrain ...     runs a command in it
#   . launch/environment.sh                                      sets it in this shell
#
# What you set yourself stays: your flags come last, and XLA lets the last one win.

# --- Compiled programs are kept here, and found again by the next start of the same run. On a cluster,
# name a folder that all nodes see and that outlives the job.
export XDG_CACHE_HOME="${PRETRAINJAX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}}" # + /pretrainjax/xla

# --- NVIDIA GPUs. Names and defaults are those of XLA in jax 0.10.2; an unknown flag ends the process
# at once, so tests/launch/test_environment.py gives these to the installed JAX.
# PRETRAINJAX_DEVICE=gpu or =cpu says what this machine has; otherwise its driver does.
if [ "${PRETRAINJAX_DEVICE:-}" = gpu ] || { [ -z "${PRETRAINJAX_DEVICE:-}" ] && [ -e /dev/nvidiactl ]; }; then
  gpu_flags=(
    # Start a collective early and wait for it late, with computation between (default: off).
    --xla_gpu_enable_latency_hiding_scheduler=true
    # In the scan over layers: the next layer's parameters are gathered (fsdp), and the last
    # layer's gradients are reduced, while this layer computes (defaults: off).
    --xla_gpu_enable_pipelined_all_gather=true
    --xla_gpu_enable_pipelined_all_reduce=true
    # Its sibling for fsdp's gradients is on by default; named, so that the three stay together.
    --xla_gpu_enable_pipelined_reduce_scatter=true
  )
  export XLA_FLAGS="${gpu_flags[*]}${XLA_FLAGS:+ $XLA_FLAGS}"
  # JAX takes this share of a GPU's memory at start (its default is 0.75); the rest is for NCCL,
  # cuDNN and the CUDA context.
  export XLA_PYTHON_CLIENT_MEM_FRACTION="${XLA_PYTHON_CLIENT_MEM_FRACTION:-0.9}"
  unset gpu_flags
fi

# --- TPUs: libtpu's scheduler overlaps by default. Flags of your own go into LIBTPU_INIT_ARGS.

# Lines of a log appear when they are written, not when a block is full.
export PYTHONUNBUFFERED=1

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  exec "$@"
fi
