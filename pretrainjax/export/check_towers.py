"""What is compared of an export of two towers, or of one of them: CLIP's and SigLIP's."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pretrainjax.export.odd_inputs import Case
from pretrainjax.models.layers.norm import l2_normalize
from pretrainjax.models.two_towers import TwoTowers
from pretrainjax.objectives.image_text import logits_of
from pretrainjax.types import AxisSize, Text


def is_tower(kind: str) -> bool:
  """Whether a class of transformers is one of two towers, or both of them."""
  return kind.startswith(("CLIP", "Siglip"))


def ours_of(modules: Mapping[str, Any], case: Case) -> Any:
  """What our networks say of a case.

  Args:
    modules: the networks by name.
    case: the input of the networks.

  Returns:
    Of both towers their features of images, of texts, and the logits of all pairs, side by side as
    many times as there are tokens; of one the features of its tokens with what is pooled beside
    each.
  """
  text = None if case.tokens is None else _text(case)
  if "similarity" in modules:
    towers = TwoTowers(**{name: modules[name] for name in modules})
    images, texts = towers.embed_images(case.images), towers.embed_texts(text)
    pairs = (l2_normalize(images), l2_normalize(texts))
    logits = logits_of(towers, images=images, texts=texts)
    return repeated(jnp.concatenate([*pairs, logits], axis=1), case.present.shape[1])
  encoder = modules["encoder"]
  inputs = case.images if text is None else text
  tokens, pooled = encoder.sequence(inputs), encoder(inputs).pooled
  if "projector" in modules:
    pooled = modules["projector"](pooled, deterministic=True)
  return jnp.concatenate([tokens, repeated(pooled, tokens.shape[1])], axis=-1)


def _text(case: Case) -> Text:
  return Text(jnp.asarray(case.tokens), jnp.asarray(case.present, jnp.int32))


def repeated(features: Float[Array, "B D"], count: AxisSize) -> Float[Array, "B N D"]:
  """Features of whole texts or images, once for each of `count` tokens."""
  return jnp.broadcast_to(features[:, None], (features.shape[0], count, features.shape[-1]))


def theirs_of(torch: Any, model: Any, case: Case) -> Any:
  """What their model says of a case, laid out as `ours_of` does.

  Args:
    torch: the module of that name.
    model: the model, as transformers loaded it.
    case: the input of the networks.
  """
  arguments = {}
  if case.images is not None:
    pixels = np.array(case.images.transpose(0, 3, 1, 2), order="C")
    arguments["pixel_values"] = torch.from_numpy(pixels)
  if case.tokens is not None:
    arguments |= _their_texts(torch, model.config, case)
  output = model(**arguments)
  if len(arguments.keys() & {"pixel_values", "input_ids"}) > 1:
    pairs = (output.image_embeds, output.text_embeds, output.logits_per_image)
    return torch.cat(pairs, dim=1)[:, None].expand(-1, case.present.shape[1], -1)
  tokens = output.last_hidden_state
  if case.tokens is not None:
    tokens = tokens[:, : case.tokens.shape[1]]
  for name in ("image_embeds", "text_embeds", "pooler_output"):
    if (pooled := getattr(output, name, None)) is not None:
      break
  else:  # without their pooling ours is the mean
    pooled = tokens.mean(dim=1)
  return torch.cat([tokens, pooled[:, None].expand(-1, tokens.shape[1], -1)], dim=-1)


def _their_texts(torch: Any, config: Any, case: Case) -> dict[str, Any]:
  """The texts as their class is to be given them: CLIP's with a mask, SigLIP's filled up."""
  config = getattr(config, "text_config", config)
  tokens, mask = np.array(case.tokens), np.array(case.present)
  if config.model_type == "siglip_text_model":
    rest = ((0, 0), (0, config.max_position_embeddings - tokens.shape[1]))
    filled = np.where(mask, tokens, config.pad_token_id)
    filled = np.pad(filled, rest, constant_values=config.pad_token_id)
    return {"input_ids": torch.from_numpy(filled).long()}
  arguments = {"input_ids": tokens, "attention_mask": mask}
  return {name: torch.from_numpy(array).long() for name, array in arguments.items()}
