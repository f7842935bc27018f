"""The same models of transformers in PyTorch, and their batches."""

from typing import Any

import mae_vs_torch
import numpy as np
import text_vs_torch
from visit.models import SENTINEL, Model, adamw_of, batch_of, documents_of, t5_widths, vit_sizes

MASK_RATE = 0.15
IGNORED = -100  # a label that is no label
PAD_TO = 64  # mixed lengths are padded to a multiple, so that compiled shapes are few


def peer_of(model: Model, *, device: str) -> Any:
  """The model on its device, training, without dropout."""
  import torch

  torch.manual_seed(0)
  builders = {"mae": _mae, "simclr": _simclr, "t5": _t5}
  builders |= {"bert": _transformer, "gpt": _transformer}
  with torch.device(device):
    return builders[model.kind](model).train()


def torch_adamw(model: Model) -> dict[str, Any]:
  """Arguments of torch.optim.AdamW that are `models.adamw_of`."""
  ours = adamw_of(model)
  betas = (0.9, ours["b2"])
  return {"lr": ours["learning_rate"], "betas": betas, "weight_decay": ours["weight_decay"]}


def peer_batches(model: Model) -> list[dict[str, np.ndarray]]:
  """Arguments of the peer's model by name; what it trains on is as much as our batch holds."""
  batch = batch_of(model)
  if model.reads_images:
    # B [2] H W C -> B [2] C H W
    pixels = np.ascontiguousarray(np.moveaxis(batch["image"], -1, -3))
    return [{"pixel_values": pixels.reshape(-1, *pixels.shape[-3:])}]
  if model.kind == "t5":
    return [_cut_texts(model)]
  if model.packed and model.kind == "gpt":
    return [_packed(batch)]
  return [_labelled(model, batch["tokens"])] if not model.packed else [_padded(model)]


def tokens_of(model: Model) -> dict[str, int]:
  """Tokens a step that are no padding, of our batch and of the peer's."""
  if not model.packed:
    return {"ours": model.batch * model.length, "peer": model.batch * model.length}
  ours = int(np.sum(batch_of(model)["segments"] > 0))
  return {"ours": ours, "peer": ours if model.kind == "gpt" else sum(documents_of(model))}


def _labelled(model: Model, tokens: np.ndarray) -> dict[str, np.ndarray]:
  ids = tokens.astype(np.int64)
  if model.kind == "gpt":
    return {"input_ids": ids, "labels": ids}
  hidden = np.random.default_rng(1).random(ids.shape) < MASK_RATE
  return {"input_ids": ids, "labels": np.where(hidden, ids, IGNORED)}


def _padded(model: Model) -> dict[str, np.ndarray]:
  """One document a row, padded to the longest."""
  lengths = documents_of(model)
  width = min(-(-max(lengths) // PAD_TO) * PAD_TO, model.length)
  valid = np.arange(width)[None] < np.array(lengths)[:, None]
  rng = np.random.default_rng(0)
  tokens = rng.integers(model.vocab // 2, model.vocab, valid.shape) * valid
  batch = _labelled(model, tokens)
  labels = np.where(valid, batch["labels"], IGNORED)
  return {**batch, "labels": labels, "attention_mask": valid.astype(np.int64)}


def _packed(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Our packed rows with a mask "B 1 T T", True where a token sees another, and own positions."""
  segments = batch["segments"]
  length = segments.shape[1]
  same = segments[:, None, :, None] == segments[:, None, None, :]
  starts = np.diff(segments, axis=1, prepend=-1) != 0
  places = np.arange(length)
  positions = places - np.maximum.accumulate(np.where(starts, places, 0), axis=1)
  ids = batch["tokens"].astype(np.int64)
  return {
    "input_ids": ids,
    "labels": np.where(segments > 0, ids, IGNORED),
    "attention_mask": same & np.tri(length, dtype=bool)[None, None],
    "position_ids": positions.astype(np.int64),
  }


def _cut_texts(model: Model) -> dict[str, np.ndarray]:
  """Inputs and targets as long as ours, which our step cuts anew each time."""
  from pretrainjax.objectives.masked.spans import span_sizes

  sizes = span_sizes(model.length, noise_density=0.15, mean_span_length=3.0)
  rng = np.random.default_rng(0)
  shapes = {"input_ids": sizes.inputs, "labels": sizes.targets}
  return {
    name: rng.integers(SENTINEL, model.vocab, (model.batch, width)).astype(np.int64)
    for name, width in shapes.items()
  }


def _mae(model: Model) -> Any:
  return mae_vs_torch.peer_of(*vit_sizes(model))


def _simclr(model: Model) -> Any:
  from visit.simclr_in_torch import SimCLR

  return SimCLR(depth=int(model.variant))


def _transformer(model: Model) -> Any:
  sizes = (model.width, model.layers, model.heads, model.vocab, model.length, model.batch)
  return text_vs_torch.peer_of(text_vs_torch.Size(model.kind, *sizes))


def _t5(model: Model) -> Any:
  import torch
  import transformers

  widths = t5_widths(model)
  peer = transformers.T5ForConditionalGeneration(
    transformers.T5Config(
      vocab_size=model.vocab,
      d_model=model.width,
      d_kv=widths["head_dim"],
      d_ff=widths["mlp_dim"],
      num_layers=model.layers,
      num_decoder_layers=model.layers,
      num_heads=model.heads,
      feed_forward_proj="gated-gelu",
      tie_word_embeddings=False,
      dropout_rate=0.0,
      use_cache=False,
      decoder_start_token_id=0,
      pad_token_id=0,
    )
  )
  # Version 1.1 scores by a table of its own; transformers 5 ties the two in new models.
  peer.lm_head.weight = torch.nn.Parameter(peer.lm_head.weight.detach().clone())
  return peer
