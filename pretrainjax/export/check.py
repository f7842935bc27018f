"""Compares an export, loaded by transformers, with the networks that it was made of."""

import functools
import importlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pretrainjax.errors import UserError
from pretrainjax.export import check_towers, sounds
from pretrainjax.export.difference import TOLERANCES, largest_difference
from pretrainjax.export.networks import Networks
from pretrainjax.export.odd_inputs import Case, lowest_token, odd_images, odd_sounds, rare_tokens
from pretrainjax.export.timm import load_timm
from pretrainjax.export.write import Written
from pretrainjax.models.causal import CausalModel
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.models.sound_encoder import SoundEncoder
from pretrainjax.models.vit import ViT
from pretrainjax.objectives.split import split
from pretrainjax.types import Text

_ROWS, _LONGEST = 3, 512
_TIMM = ("VisionTransformer", "ResNet")
_IMAGE_SIZE = (45, 38)  # for networks that take any


def lines_of(found: Mapping[str, float]) -> str:
  """What the user is told of `differences`, a line for each kind of input."""
  return "\n".join(f"check {name}: largest difference {value:.2e}" for name, value in found.items())


def differences(
  folder: Path,
  networks: Networks,
  written: Written,
  *,
  adapter: Path | None = None,
  dtype: str = "float32",
) -> dict[str, float]:
  """The largest difference of outputs for each kind of input.

  Args:
    folder: the folder that was exported.
    networks: what it was made of.
    written: what was written.
    adapter: the folder of an adapter that PEFT is to load onto it; None has none.
    dtype: the dtype that the weights were written in, a key of `TOLERANCES`.

  Raises:
    UserError: where the other library is not installed, finds tensors missing or left over, or
      computes something else.
  """
  try:
    torch = importlib.import_module("torch")
  except ImportError as error:
    raise UserError("--check: needs torch, which is missing") from error
  load = load_timm if written.library == "timm" else functools.partial(_load, written)
  model = load(folder)
  if adapter is not None:
    _adapt(model, adapter)
  found, model = {}, model.eval().float()
  graphdef, params, extras = split(nnx.Dict(networks.modules))
  for case in cases(networks):
    ours = _ours(graphdef, written.kind, params, extras, tuple(case)[1:])
    ours = np.asarray(ours, np.float64)
    with torch.no_grad():
      theirs = theirs_of(torch, model, written.kind, case, networks)
    theirs = np.asarray(theirs.numpy(), np.float64)
    if case.present is not None:
      ours, theirs = ours[case.present], theirs[case.present]
    tolerance = TOLERANCES[dtype]
    found[case.name] = largest_difference(case.name, ours, theirs, tolerance=tolerance)
  return found


def _load(written: Written, folder: Path) -> Any:
  try:
    family = getattr(importlib.import_module("transformers"), written.kind)
  except ImportError as error:
    raise UserError(f"--check: needs {written.kind} of transformers ({error})") from error
  options = {"output_loading_info": True, "attn_implementation": "eager"}
  if written.kind.endswith("Model") and "pooler" not in written.held:
    options |= _without_pooler(written.kind)
  model, info = family.from_pretrained(folder, **options)
  wrong = {key: sorted(info[key]) for key in ("missing_keys", "unexpected_keys", "mismatched_keys")}
  if any(wrong.values()):
    raise UserError(f"--check: transformers finds {wrong}")
  return model


@functools.partial(jax.jit, static_argnums=(0, 1))
def _ours(graphdef: Any, kind: str, params: Any, extras: Any, inputs: tuple) -> Any:
  return ours_of(nnx.merge(graphdef, params, extras), kind, Case("", *inputs))


def _adapt(model: Any, folder: Path) -> None:
  """Puts an adapter into a model, in place."""
  try:
    peft = importlib.import_module("peft")
  except ImportError as error:
    raise UserError(f"--check: needs peft ({error.name} is missing)") from error
  peft.PeftModel.from_pretrained(model, str(folder))


def _without_pooler(kind: str) -> dict[str, Any]:
  has_one = kind in ("BertModel", "RobertaModel", "ViTModel")
  return {"add_pooling_layer": False} if has_one else {}


def cases(networks: Networks) -> Iterator[Case]:
  """Inputs of the networks: ordinary and odd ones."""
  random, size = np.random.default_rng(0), networks.image_size or _IMAGE_SIZE
  if len(networks.reads) > 1:
    texts = _texts(networks.modules["text"], random)
    images = _images(networks.modules["image"], size, random)
    for image, text in zip(images, itertools.islice(itertools.cycle(texts), 1, None), strict=False):
      yield text._replace(name=f"{text.name}, {image.name}", images=image.images)
    return
  encoder = networks.modules["encoder"]
  if isinstance(encoder, SoundEncoder):
    for name, sound in odd_sounds(random, longest=sounds.longest_of(encoder)):
      yield Case(name, sound=sound, present=sounds.present_of(encoder, sound))
    return
  has_texts = hasattr(encoder, "vocab_size")
  yield from _texts(encoder, random) if has_texts else _images(encoder, size, random)


def _images(encoder: Any, size: tuple[int, int], random: np.random.Generator) -> Iterator[Case]:
  shape = (_ROWS, *size, encoder.num_channels)
  ordinary = random.integers(0, 256, shape).astype(np.uint8)
  for name, pixels in (("ordinary images", ordinary), *odd_images(shape, random)):
    yield Case(name, images=np.asarray(encoder.normalize(jnp.asarray(pixels))))


def _texts(encoder: Any, random: np.random.Generator) -> Iterator[Case]:
  # All but one have the same shape, so that our networks are compiled twice only.
  size, length = encoder.vocab_size, min(encoder.max_length, _LONGEST)
  tokens = random.integers(lowest_token(size), size, (_ROWS, length)).astype(np.int32)
  present = np.ones((_ROWS, length), bool)
  lengths = np.maximum(np.array([length // 2, length - 1, 1]), 1)
  if (end_id := getattr(encoder, "end_id", None)) is not None:  # where some pool
    tokens[np.arange(_ROWS), lengths - 1] = end_id
  yield Case(f"texts of {length} tokens", tokens=tokens, present=present)
  padded = np.arange(length)[None] < lengths[:, None]
  # What stands in padding must not be the highest token, where some pool.
  yield Case("padded texts", tokens=np.where(padded, tokens, 0).astype(np.int32), present=padded)
  yield Case("texts of one token", tokens=tokens[:, :1], present=present[:, :1])
  rare = rare_tokens(tokens.shape, vocab_size=size)
  yield Case("the last tokens of the vocabulary", tokens=rare.astype(np.int32), present=present)


def ours_of(modules: Mapping[str, Any], kind: str, case: Case) -> Any:
  """What our networks say of a case: scores where their class has a head, else features of tokens.

  Of timm's classes without a head it is what is pooled.

  Args:
    modules: the networks by name.
    kind: the class of transformers.
    case: the input of the networks.
  """
  if check_towers.is_tower(kind):
    return check_towers.ours_of(modules, case)
  encoder = modules["encoder"]
  if case.sound is not None:
    return sounds.ours_of(modules, kind, case.sound)
  if case.images is not None:
    if kind in _TIMM:
      pooled, head = encoder(case.images).pooled, modules.get("head")
      return pooled if head is None else head(pooled)
    if "ForImage" in kind:
      return modules["head"](encoder(case.images).pooled)
    has_prefix = isinstance(encoder, ViT)
    return encoder.sequence(case.images) if has_prefix else encoder(case.images).tokens
  text = Text(jnp.asarray(case.tokens), jnp.asarray(case.present, jnp.int32))
  table = encoder.token_embedding[...]
  hidden, head = encoder.sequence(text), modules.get("head")
  if kind.endswith("Model") and not kind.endswith("LMHeadModel"):
    return hidden
  if "decoder" in modules:
    decoder = modules["decoder"]
    x = decoder(jnp.asarray(case.tokens), hidden, valid=jnp.asarray(case.present), table=table)
    return jnp.einsum("btd,vd->btv", x, decoder.scores_table(table))
  if "detector" in modules:
    return modules["detector"](hidden)[..., 0]
  if isinstance(head, MaskedLMHead):
    return head(hidden, table)
  if isinstance(encoder, CausalModel):
    return jnp.einsum("btd,vd->btv", hidden, encoder.output_table)
  if head is None:
    return hidden
  # As many times as there are tokens, so that all cases are alike.
  return check_towers.repeated(head(encoder(text).pooled), case.present.shape[1])


def theirs_of(torch: Any, model: Any, kind: str, case: Case, networks: Networks) -> Any:
  """What their model says of a case: scores where it has a head, else features of tokens.

  Args:
    torch: the module of that name.
    model: the model, as transformers loaded it.
    kind: the class of the model.
    case: the input of the networks.
    networks: ours, which make what some models read of sound.
  """
  if check_towers.is_tower(kind):
    return check_towers.theirs_of(torch, model, case)
  if case.sound is not None:
    return sounds.theirs_of(torch, model, kind, case.sound, networks.modules["encoder"])
  if case.images is not None:
    pixels = torch.from_numpy(np.array(case.images.transpose(0, 3, 1, 2), order="C"))
    if kind == "ViTMAEForPreTraining":
      return _unmasked(torch, model, pixels)
    output = model(pixels)
    if kind in _TIMM:
      return output
    if "ForImage" in kind:
      return output.logits
    hidden = output.last_hidden_state  # of convolutions "B D h w"
    return hidden.flatten(2).transpose(1, 2) if hidden.ndim == 4 else hidden
  tokens, mask = (torch.from_numpy(np.array(a)).long() for a in (case.tokens, case.present))
  arguments = {"input_ids": tokens, "attention_mask": mask}
  if kind == "T5ForConditionalGeneration":
    arguments["decoder_input_ids"] = tokens
  output = model(**arguments)
  logits = getattr(output, "logits", None)
  if logits is None:
    logits = getattr(output, "prediction_logits", None)
  if logits is None:
    return output.last_hidden_state
  if "ForSequence" in kind:
    return logits[:, None].expand(*case.present.shape, -1)
  return logits


def _unmasked(torch: Any, model: Any, pixels: Any) -> Any:
  """The tokens of all patches in their order: at ratio 0 their class shuffles without noise."""
  before, model.config.mask_ratio = model.config.mask_ratio, 0.0
  count = model.vit.embeddings.patch_embeddings.num_patches
  noise = torch.arange(count).float().repeat(len(pixels), 1)
  found = model.vit(pixels, noise=noise).last_hidden_state
  model.config.mask_ratio = before
  return found
