"""How the optimizer treats a parameter, by its name and shape.

Parameters are nested plain dicts. Everything under a component "blocks" is a stack: axis 0 is
the layer, so that "encoder/blocks/attention/query/kernel" has shape (num_layers, in, out). This
is the one place that knows; all that is said of rank below is said of one layer.
"""

import fnmatch
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from optax.contrib import MuonDimensionNumbers

from pretrainjax.errors import nearest

_STACK = "blocks"
# Words of a name, cut at "_": of what comes before the first layer, and after the last one.
_INPUT_WORDS = frozenset(
  "embed embedder embedding embeddings patch patches cls class mask register registers pos "
  "position positions token tokens stem pre extractor frontend".split()
)
_HEAD_WORDS = frozenset("head heads classifier logits prototypes".split())
# Learned constants that weight decay would only pull to zero, as MAE and DINO leave them out.
_CONSTANTS = frozenset("cls_token mask_token register_tokens class_token register_token".split())
_POSITION_WORDS = frozenset("pos position positions".split())


def name_of(path: tuple) -> str:
  """Writes a jax key path as "encoder/blocks/attention/query/kernel"."""
  return "/".join(str(key.key) for key in path)


def map_with_names(function: Callable[[str, Any], Any], params: Any) -> Any:
  """Maps `function(name, leaf)` over nested dicts."""
  return jax.tree_util.tree_map_with_path(lambda path, leaf: function(name_of(path), leaf), params)


def leaves_by_name(params: Any) -> dict[str, Any]:
  """The leaves of nested dicts by their names."""
  return {name_of(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def is_stacked(name: str) -> bool:
  """Whether axis 0 of this parameter is the layer."""
  return _STACK in name.split("/")


def _layer_rank(name: str, leaf: Any) -> int:
  """The rank of one layer's part of a parameter."""
  return leaf.ndim - is_stacked(name)


def is_weight(name: str, leaf: Any) -> bool:
  """Whether weight decay and trust ratios apply: weights and embedding tables.

  Not to biases, norms' scales, anything else of rank below 2, learned tokens (class, mask,
  register) and position tables. A convolution over positions is a kernel, so it counts.
  """
  *parents, last = name.split("/")
  if _layer_rank(name, leaf) < 2 or last in ("bias", "scale"):
    return False
  if last == "kernel":
    return True
  parts = [*parents, last]
  return not any(p in _CONSTANTS or _words(p) & _POSITION_WORDS for p in parts)


def weight_mask(params: Any) -> Any:
  """A mask for optax, as a tree: True where `is_weight`."""
  return map_with_names(is_weight, params)


def layer_scales(params: Any, decay: float) -> dict[str, np.ndarray]:
  """The learning-rate scales of layer-wise decay, decay^(L + 1 - i), by parameter name.

  Embeddings are layer i = 0, blocks are 1 to L, what follows them (norm, head) is L + 1, as in
  BEiT and MAE (arXiv 2111.06377, appendix A.1). A model of several stacks has an L for each,
  and an embedding belongs to the stack beside it.

  Returns:
    Scalars, and for stacked parameters vectors along axis 0 (shape (L, 1, ...)).

  Raises:
    ValueError: where there is no stack to number the layers by.
  """
  leaves = leaves_by_name(params)
  depths = {_parent(name): leaf.shape[0] for name, leaf in leaves.items() if is_stacked(name)}
  if not depths:
    raise ValueError(f"layer_decay={decay}: no parameter lies under '{_STACK}', so no layers")

  def scale(name: str, leaf: Any) -> np.ndarray:
    if is_stacked(name):
      depth = leaf.shape[0]
      powers = depth - np.arange(depth).reshape(-1, *[1] * (leaf.ndim - 1))
      return (decay**powers).astype(np.float32)
    parts = tuple(name.split("/"))
    beside = [p for p in depths if parts[: len(p)] == p and len(parts) > len(p)]
    stack = max(beside, key=len, default=None)
    is_input = stack is not None and bool(_words(parts[len(stack)]) & _INPUT_WORDS)
    return np.asarray(decay ** (depths[stack] + 1) if is_input else 1.0, np.float32)

  return {name: scale(name, leaf) for name, leaf in leaves.items()}


def muon_dimensions(name: str, leaf: Any) -> MuonDimensionNumbers | None:
  """The axes that Muon orthogonalises, layer by layer; None for what AdamW takes.

  Muon is for hidden matrices; embeddings, the input layer and heads go to AdamW, as its author
  says. A convolution's kernel is the matrix (all else, out).
  """
  if not is_weight(name, leaf) or name.split("/")[-1] != "kernel":
    return None
  words = frozenset().union(*(_words(part) for part in name.split("/")))
  if not is_stacked(name) and words & (_INPUT_WORDS | _HEAD_WORDS):
    return None
  first = int(is_stacked(name))
  return MuonDimensionNumbers(tuple(range(first, leaf.ndim - 1)), (leaf.ndim - 1,))


def matches(name: str, patterns: tuple[str, ...]) -> bool:
  """Whether a pattern fits `name` or something that it lies under ("*" also crosses "/")."""
  return any(fnmatch.fnmatchcase(name, p) or fnmatch.fnmatchcase(name, f"{p}/*") for p in patterns)


def check_patterns(patterns: tuple[str, ...], params: Mapping[str, Any]) -> None:
  """Refuses patterns of frozen parameters that fit none, or that leave none to train.

  Args:
    patterns: the patterns of `Optimizer.frozen`.
    params: the parameters, nested dicts.

  Raises:
    ValueError: naming the pattern.
  """
  names = list(leaves_by_name(params))
  for pattern in patterns:
    if not any(matches(name, (pattern,)) for name in names):
      parts = [n.split("/") for n in names]
      prefixes = {"/".join(p[:i]) for p in parts for i in range(1, len(p) + 1)}
      raise ValueError(f"frozen: '{pattern}' fits no parameter{nearest(pattern, prefixes)}")
  if patterns and all(matches(name, patterns) for name in names):
    raise ValueError(f"frozen={patterns} leaves no parameter to train")


def _words(part: str) -> frozenset[str]:
  return frozenset(part.split("_"))


def _parent(name: str) -> tuple[str, ...]:
  parts = tuple(name.split("/"))
  return parts[: parts.index(_STACK)]
