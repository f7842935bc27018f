"""What tests against transformers share: random weights, their models from files, comparisons."""

import functools
import json

import jax
import numpy as np
from flax import nnx

# Compiling for speed takes longer than these tests run.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def randomised(module, *, std=0.2):
  """(graphdef, params) with random values everywhere, so that no bias is 0 and no scale is 1."""
  graphdef, params = nnx.split(module, nnx.Param)
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda x: np.float32(rng.normal(size=x.shape) * std + x), nnx.to_pure_dict(params)
  )
  return graphdef, params


def load(folder, kind, config, tensors, **options):
  """Their model `kind` with our tensors, through files, as a user's export goes.

  Nothing may be missing, left over or of another shape. Attention is the plain one.
  """
  import safetensors.torch
  import torch
  import transformers

  (folder / "config.json").write_text(json.dumps(config.to_dict() | {"architectures": [kind]}))
  torch_tensors = {name: torch.from_numpy(t.copy()) for name, t in tensors.items()}
  safetensors.torch.save_file(
    torch_tensors, folder / "model.safetensors", metadata={"format": "pt"}
  )
  options |= {"output_loading_info": True, "attn_implementation": "eager"}
  model, info = getattr(transformers, kind).from_pretrained(folder, **options)
  problems = [info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")]
  assert not any(problems), problems
  return model.eval()


def saved(model, folder):
  """The tensors of their model as it saves them, by name."""
  import safetensors.numpy

  model.save_pretrained(folder)
  return safetensors.numpy.load_file(folder / "model.safetensors")


def gradients_of(model):
  """Their gradients by name, after a backward pass; zeros where nothing came."""
  return {
    name: (np.zeros(p.shape, np.float32) if p.grad is None else p.grad.numpy())
    for name, p in model.named_parameters()
  }


def close(ours, theirs, name, *, tolerance=1e-4):
  np.testing.assert_allclose(ours, theirs, atol=tolerance, rtol=tolerance, err_msg=name)


def trees_close(ours, theirs):
  """Every leaf of two nested dicts, which have the same names."""
  jax.tree_util.tree_map_with_path(
    lambda path, a, b: close(a, b, jax.tree_util.keystr(path)), ours, theirs
  )
