"""The circle of a model of another library: read here, compared, written, trained, written."""

import re

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from transformers_models import close, gradients_of, jit, trees_close

from pretrainjax.checkpoint.encoder import load
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.table import to_ours
from pretrainjax.export import check
from pretrainjax.export.networks import networks_of
from pretrainjax.objectives.split import split


def randomise(model):
  """Random values everywhere, so that no bias is 0 and no running variance 1."""
  import torch

  with torch.no_grad():
    for parameter in model.parameters():
      parameter.add_(torch.randn_like(parameter) * 0.1)
    for name, buffer in model.named_buffers():
      if "running" in name:
        buffer.mul_(torch.rand_like(buffer) + 0.5).add_(torch.rand_like(buffer) * 0.1)
      elif name.endswith("num_batches_tracked"):
        buffer.fill_(7)
  return model


def read_train_write(
  model, kind, tensors, folder, *, write, library="transformers", learning_rate=0.5
):
  """Outputs, a loss, gradients and bytes are the same; after two steps outputs are, again.

  Args:
    model: their model, in evaluation.
    kind: its class.
    tensors: what is stored of it, by name.
    folder: the folder where it is stored.
    write: the function that writes networks into a folder.
    library: theirs.
    learning_rate: of the two steps.

  Returns:
    The folder that was written without training.
  """
  import torch

  loaded = load(f"hf:{folder}")
  networks = networks_of(loaded, None)
  case = case_of(networks)
  with torch.no_grad():
    expected = check.theirs_of(torch, model, kind, case, networks).numpy()
  present = np.ones(expected.shape[:2], bool) if case.present is None else case.present
  rng = np.random.default_rng(3)
  weights = np.where(present[..., None] if expected.ndim > 2 else present, 1, 0)
  weights = np.float32(weights * rng.normal(size=expected.shape))
  loss, params = our_loss(networks, kind, case, weights)
  both = jit(jax.value_and_grad(loss))
  value, gradients = both(params)
  their_value, theirs = their_gradients(model, kind, case, weights, networks)
  close(value, their_value, "loss")
  trees_close(gradients, as_ours(theirs, networks, kind, library))

  again, trained = folder / "again", folder / "trained"
  again.mkdir()
  assert write(again, networks).kind == kind
  found = load_all(again)
  assert {n: t.tobytes() for n, t in found.items()} == {n: t.tobytes() for n, t in tensors.items()}

  for _ in range(2):
    params = jax.tree.map(lambda p, g: p - learning_rate * g, params, both(params)[1])
  nnx.update(nnx.Dict(networks.modules), params)
  networks = networks_of(loaded, None)
  trained.mkdir()
  lines = check.differences(trained, networks, write(trained, networks))
  assert len(lines) > 3 and max(lines.values()) < 1e-4, lines
  return again


def case_of(networks):
  """Padded texts or sounds, or images of any pixels."""
  cases = {case.name: case for case in check.cases(networks)}
  padded = (case for name, case in cases.items() if name.startswith("padded"))
  return next(padded, None) or cases["ordinary images"]


def our_loss(networks, kind, case, weights):
  """loss(params): the outputs of what is there, each times a number of its own."""
  graphdef, params, extras = split(nnx.Dict(networks.modules))

  def loss(params):
    found = check.ours_of(nnx.merge(graphdef, params, extras), kind, case)
    return jnp.sum(jnp.asarray(found) * weights) / weights.size

  return loss, params


def their_gradients(model, kind, case, weights, networks):
  """Their loss, and its gradients by the names of their parameters."""
  import torch

  found = check.theirs_of(torch, model, kind, case, networks)
  loss = (found * torch.from_numpy(weights)).sum() / weights.size
  loss.backward()
  return loss.item(), gradients_of(model)


def as_ours(gradients, networks, kind, library):
  """Their gradients by our names; where no gradient can come ours has zeros too."""
  family, _, arguments = class_for(networks.recipes, kind=kind, library=library)
  table = family.table(networks.recipes, kind, Tokens())
  named = {table.plain(name): value for name, value in gradients.items()}
  others = (*table.constants, *table.copies, *table.fillers)
  others = (*table.buffers, *map(re.escape, others))
  named = _fused(named) if kind.startswith("Dinov2") else named
  named = {n: v for n, v in named.items() if not any(re.search(o, n) for o in others)}
  rules = tuple(rule for rule in table.rules if ".running_" not in rule.theirs)
  return to_ours(rules, named)


def _fused(named):
  """Gated perceptrons as they are stored; transformers 5 has the two in memory apart."""
  found = {name.replace("down_proj", "weights_out"): value for name, value in named.items()}
  for name in [name for name in found if "gate_proj" in name]:
    parts = [found.pop(name), found.pop(name.replace("gate_proj", "up_proj"))]
    found[name.replace("gate_proj", "weights_in")] = np.concatenate(parts)
  return found


def load_all(folder):
  """The tensors of all files of a folder, by their library."""
  import safetensors.numpy

  files = (safetensors.numpy.load_file(path) for path in folder.glob("*.safetensors"))
  return {name: tensor for file in files for name, tensor in file.items()}
