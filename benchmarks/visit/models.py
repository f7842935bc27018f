"""The models whose training steps a visit times: their sizes, and our objectives and batches."""

import dataclasses
import functools
from typing import Any, Literal

import numpy as np

FIRST_ID = 100  # ids below are special, among them T5's sentinels
SENTINEL = 5
IMAGE_RATE, TEXT_RATE = 1.5e-4, 1e-4


@dataclasses.dataclass(frozen=True)
class Model:
  """A model, what it learns from, and its batch.

  Attributes:
    kind: which of the builders below, and of `peers.py`.
    batch: rows.
    length: tokens of a row, or pixels to a side.
    width: D; of images `variant` decides.
    layers: blocks, of each half of a T5.
    heads: of attention, each of D / heads.
    vocab: V.
    variant: "B/16" of a ViT, the depth of a ResNet; "tiny" is a small ViT.
    packed: rows hold several documents of mixed lengths; the peer pads one document a row.
  """

  kind: Literal["mae", "simclr", "bert", "gpt", "t5"]
  batch: int
  length: int
  width: int = 0
  layers: int = 0
  heads: int = 0
  vocab: int = 0
  variant: str = ""
  packed: bool = False

  @property
  def reads_images(self) -> bool:
    """Whether it is no model of text."""
    return self.kind in ("mae", "simclr")


def _text(kind: str, batch: int, length: int, vocab: int, **more: Any) -> Model:
  return Model(kind, batch, length, 768, 12, 12, vocab, **more)


# In order of worth: a time limit costs the last ones.
MODELS = {
  "MAE ViT-B/16, 224": Model("mae", 256, 224, variant="B/16"),
  "GPT-2 124M, rows of 1024": _text("gpt", 16, 1024, 50257),
  "BERT-base, rows of 512": _text("bert", 64, 512, 30522),
  "SimCLR ResNet-50, 224": Model("simclr", 128, 224, variant="50"),
  "T5 1.1 base, rows of 512": _text("t5", 32, 512, 32128),
  "GPT-2 124M, packed to 1024": _text("gpt", 16, 1024, 50257, packed=True),
  "BERT-base, mixed lengths to 512": _text("bert", 64, 512, 30522, packed=True),
  "MAE ViT-L/16, 224": Model("mae", 128, 224, variant="L/16"),
}
# Each kind once, in seconds on a CPU.
SMALL = {
  "small MAE": Model("mae", 4, 32, variant="tiny"),
  "small GPT": Model("gpt", 4, 32, 32, 2, 2, 128),
  "small BERT": Model("bert", 4, 32, 32, 2, 2, 128),
  "small SimCLR": Model("simclr", 4, 32, variant="10"),
  "small T5": Model("t5", 4, 32, 32, 2, 2, 128),
  "small GPT, packed": Model("gpt", 8, 32, 32, 2, 2, 128, packed=True),
  "small BERT, mixed lengths": Model("bert", 8, 32, 32, 2, 2, 128, packed=True),
}
TINY = {name: SMALL[name] for name in ("small MAE", "small GPT, packed")}
# Of at least 300 M parameters, for the search of the best batch and remat.
SWEEP = Model("gpt", 8, 1024, 1024, 24, 16, 50257)
SWEEP_TINY = Model("gpt", 4, 32, 32, 2, 2, 128)


def models(sizes: str) -> dict[str, Model]:
  """Those of "full" or "tiny" sizes, by name."""
  return TINY if sizes == "tiny" else MODELS


def objective_of(model: Model, *, dtype: str, **options: Any) -> Any:
  """What our side minimises; `options` (remat, unroll) go to every stack of layers."""
  builders = {"mae": _mae, "simclr": _simclr, "bert": _bert, "gpt": _gpt, "t5": _t5}
  return builders[model.kind](model, {"dtype": dtype, **options})


def optimizer_of(model: Model) -> Any:
  """AdamW, the same for both sides."""
  from pretrainjax.train.optimizer import Optimizer

  return Optimizer(**adamw_of(model))


def adamw_of(model: Model) -> dict[str, float]:
  """Arguments of our `Optimizer`."""
  if model.reads_images:
    return {"learning_rate": IMAGE_RATE, "b2": 0.95, "weight_decay": 0.05}
  return {"learning_rate": TEXT_RATE, "b2": 0.999, "weight_decay": 0.01}


def batch_of(model: Model, *, seed: int = 0) -> dict[str, np.ndarray]:
  """Random rows of the host by name, as our side takes them; what they hold moves no time."""
  rng = np.random.default_rng(seed)
  if model.kind == "simclr":
    return {"image": rng.normal(size=(model.batch, 2, *_image(model))).astype(np.float32)}
  if model.kind == "mae":
    return {"image": rng.normal(size=(model.batch, *_image(model))).astype(np.float32)}
  shape = (model.batch, model.length)
  tokens = rng.integers(min(FIRST_ID, model.vocab // 2), model.vocab, shape, dtype=np.int32)
  if not model.packed:
    return {"tokens": tokens, "segments": np.ones(shape, np.int32)}
  segments = pack(documents_of(model), model.length)
  rows = len(segments)
  tokens = np.resize(tokens, (rows, model.length)) * (segments > 0)
  return {"tokens": tokens.astype(np.int32), "segments": segments}


def documents_of(model: Model) -> list[int]:
  """Lengths of documents, one for each row of the peer: log-normal, as lengths of texts are.

  The median is a quarter of a row, a spread of 0.8 in the logarithm; longer ones are cut.
  """
  rng = np.random.default_rng(1)
  lengths = np.exp(rng.normal(np.log(model.length / 4), 0.8, model.batch))
  return np.clip(lengths, 4, model.length).astype(int).tolist()


def pack(lengths: list[int], size: int) -> np.ndarray:
  """Segments "B T" of documents laid first-fit, the longest first, into as few rows as it takes."""
  rows: list[list[int]] = []
  for length in sorted(lengths, reverse=True):
    row = next((row for row in rows if sum(row) + length <= size), None)
    if row is None:
      rows.append([length])
    else:
      row.append(length)
  segments = np.zeros((len(rows), size), np.int32)
  for line, row in zip(segments, rows, strict=True):
    line[: sum(row)] = np.repeat(np.arange(1, len(row) + 1), row)
  return segments


def vit_sizes(model: Model) -> tuple[dict[str, Any], dict[str, Any]]:
  """Arguments of a `ViT` and a `MAEDecoder`: MAE's table 8 (arXiv 2111.06377), but for the tiny."""
  from pretrainjax.models.vit import vit_variant

  if model.variant == "tiny":
    encoder = {"embed_dim": 32, "num_layers": 2, "num_heads": 2, "mlp_dim": 64, "patch_size": 8}
    decoder = {"embed_dim": 16, "num_layers": 1, "num_heads": 2}
  else:
    encoder = vit_variant(model.variant)
    decoder = {"embed_dim": 512, "num_layers": 8, "num_heads": 16}
  grid = model.length // encoder["patch_size"]
  decoder |= {"grid": (grid, grid), "patch_dim": encoder["patch_size"] ** 2 * 3}
  decoder["encoder_dim"] = encoder["embed_dim"]
  return encoder | {"image_size": model.length}, decoder


def _image(model: Model) -> tuple[int, int, int]:
  return model.length, model.length, 3


def _mae(model: Model, options: dict[str, Any]) -> Any:
  from pretrainjax.models.decoder import MAEDecoder
  from pretrainjax.models.vit import ViT
  from pretrainjax.objectives.masked.mae import MAE

  encoder, decoder = vit_sizes(model)
  backbone = functools.partial(ViT, pool="mean", **encoder, **options)
  return MAE(backbone=backbone, decoder=functools.partial(MAEDecoder, **decoder, **options))


def _simclr(model: Model, options: dict[str, Any]) -> Any:
  """Without colours: the peer has none either, and the host crops."""
  from pretrainjax.models.heads import Projector
  from pretrainjax.models.resnet import ResNet
  from pretrainjax.objectives.joint.simclr import SimCLR

  dtype = options["dtype"]
  width = 2048 if model.variant == "50" else 512
  return SimCLR(
    backbone=functools.partial(ResNet, depth=int(model.variant), dtype=dtype),
    projector=functools.partial(Projector, in_dim=width, dtype=dtype),
  )


def _transformer(model: Model, options: dict[str, Any]) -> dict[str, Any]:
  sizes = {"embed_dim": model.width, "num_layers": model.layers, "num_heads": model.heads}
  return sizes | {"vocab_size": model.vocab, "mlp_dim": 4 * model.width, **options}


def _bert(model: Model, options: dict[str, Any]) -> Any:
  from pretrainjax.models.bert import BERT
  from pretrainjax.models.lm_head import MaskedLMHead
  from pretrainjax.objectives.masked.masked_lm import MaskedLM

  backbone = functools.partial(BERT, max_length=model.length, **_transformer(model, options))
  head = functools.partial(MaskedLMHead, embed_dim=model.width, vocab_size=model.vocab)
  return MaskedLM(backbone=backbone, head=head)


def _gpt(model: Model, options: dict[str, Any]) -> Any:
  from pretrainjax.models.gpt import GPT
  from pretrainjax.objectives.autoregressive.causal_lm import CausalLM

  return CausalLM(
    backbone=functools.partial(GPT, max_length=model.length, **_transformer(model, options))
  )


def _t5(model: Model, options: dict[str, Any]) -> Any:
  """T5 1.1's perceptrons are gated, and 8 / 3 times as wide as tokens."""
  from pretrainjax.models.t5 import T5Decoder, T5Encoder
  from pretrainjax.objectives.masked.span_corruption import SpanCorruption

  sizes = _transformer(model, options) | t5_widths(model)
  return SpanCorruption(
    backbone=functools.partial(T5Encoder, max_length=model.length, **sizes),
    decoder=functools.partial(T5Decoder, **sizes),
    first_sentinel=SENTINEL,
    chunk_size=4096,
  )


def t5_widths(model: Model) -> dict[str, int]:
  """Widths of a head and of a perceptron: base has 64 and 2048 (released_checkpoints.md of T5)."""
  return {"head_dim": model.width // model.heads, "mlp_dim": model.width * 8 // 3}


def unseen_flops(model: Model) -> float:
  """Products of attention in a step, forward and backward, of pairs that do not see each other.

  A count of dense attention has them in it; no useful work is done for them. A pair takes two
  products of 2 * width operations forward and four backward, in each layer.
  """
  if model.reads_images or (model.kind == "bert" and not model.packed):
    return 0.0
  if model.kind == "t5":  # but for the decoder's attention to itself all is seen
    from pretrainjax.objectives.masked.spans import span_sizes

    sizes = span_sizes(model.length, noise_density=0.15, mean_span_length=3.0)
    lengths = [[sizes.targets]] * model.batch
  else:
    rows = batch_of(model)["segments"]
    lengths = [np.bincount(row)[1:].tolist() for row in rows]
  row_length = sum(lengths[0]) if model.kind == "t5" else model.length
  causal = model.kind != "bert"
  seen = sum((n * (n + 1) // 2 if causal else n * n) for row in lengths for n in row)
  pairs = len(lengths) * row_length**2 - seen
  return 12.0 * pairs * model.width * model.layers
