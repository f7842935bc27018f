"""A training step of MAE against ViTMAEForPreTraining of transformers in PyTorch, in one run.

  python benchmarks/mae_vs_torch.py --out=runs/mae_vs_torch [--dtype=bfloat16 --compile]

Needs the extra "parity" (torch and transformers). Same models, batch and precision; loss,
gradient and AdamW, on normalised pixels that lie on the device already, both in processes of
their own that take turns. The models are those of the configs named in SIZES.
"""

import argparse
import importlib
import json
import platform
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import account
import numpy as np
from alternate import race, ratio, serve
from sides import OurSteps, TorchSteps, check_equal_sizes, handlers

# Name, config, batch.
SIZES = {
  "ViT 96 x 4, 28 x 28, patch 4": ("mae_vit_fashion_mnist", 128),
  "ViT-Ti/4, 32 x 32": ("mae_vit_cifar10", 64),
  "ViT-B/16, 224 x 224": ("mae_vit_b16_imagenet", 8),
}
OURS, PEER = "pretrainjax", "PyTorch"


def main() -> None:
  """Times every size, writes OUT/mae_vs_torch.json and prints the tables."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--out", required=True, type=Path, help="folder for the results")
  parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
  parser.add_argument("--batch", type=int, help="another batch for all sizes")
  parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
  parser.add_argument("--compile", action="store_true", help="torch.compile the peer")
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument("--seconds", type=float, default=8.0, help="of a turn")
  parser.add_argument("--side", choices=[OURS, PEER], help=argparse.SUPPRESS)
  flags = parser.parse_args()
  if flags.side:
    serve(handlers(side_of(flags)))
    return
  flags.out.mkdir(parents=True, exist_ok=True)
  report = {"machine": platform.processor() or platform.machine(), "arguments": sys.argv[1:]}
  report["results"] = [compare(name, flags) for name in flags.sizes]
  (flags.out / "mae_vs_torch.json").write_text(json.dumps(report, indent=2))
  show(report["results"])


def compare(name: str, flags: argparse.Namespace) -> dict[str, Any]:
  """One size: the times of both sides, and where each spends them."""
  command = [sys.executable, __file__, *sys.argv[1:], "--sizes", name]
  times, about = race(
    {side: [*command, f"--side={side}"] for side in (OURS, PEER)},
    rounds=flags.rounds,
    round_seconds=flags.seconds,
    questions=("about", "account"),
  )
  check_equal_sizes(about)
  result = {"size": name, "batch": flags.batch or SIZES[name][1], "dtype": flags.dtype}
  result |= {"seconds": times, "about": about}
  result["ratio"], *result["ratio_range"] = ratio(times, OURS, PEER)
  print(f"{name}: {result['ratio']:.2f} of PyTorch's time", file=sys.stderr, flush=True)
  return result


def config_of(name: str, dtype: str) -> Any:
  """The config of a size, in the wanted precision."""
  sys.path.insert(0, str(Path(__file__).parent.parent))  # where configs/ lies
  config = importlib.import_module(f"configs.pretrain.image.{SIZES[name][0]}").get_config(None)
  for part in (config.objective.backbone, config.objective.decoder):
    part.dtype = dtype
  return config


def side_of(flags: argparse.Namespace) -> OurSteps | TorchSteps:
  """The side that the flags name, ready to be run."""
  from pretrainjax.config import build

  name = flags.sizes[0]
  config = config_of(name, flags.dtype)
  config.optimizer.schedule = None
  encoder, decoder = (dict(config.objective[part]) for part in ("backbone", "decoder"))
  batch = flags.batch or SIZES[name][1]
  if flags.side == OURS:
    objective = build(config.objective, path="config.objective")
    optimizer = build(config.optimizer, path="config.optimizer")
    return OurSteps(objective, optimizer, {"image": images_of(encoder, batch)})
  optimizer = config.optimizer
  return peer_side(
    encoder,
    decoder,
    batch=batch,
    adamw={
      "lr": optimizer.learning_rate,
      "betas": (0.9, optimizer.b2),
      "weight_decay": optimizer.weight_decay,
    },
    dtype=flags.dtype,
    compiled=flags.compile,
  )


def images_of(encoder: Mapping[str, Any], batch: int) -> np.ndarray:
  """Random normalised pixels, "B H W C"; what they show moves no time."""
  size = encoder["image_size"]
  shape = (batch, size, size, encoder.get("num_channels", 3))
  return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def peer_side(
  encoder: Mapping[str, Any],
  decoder: Mapping[str, Any],
  *,
  batch: int,
  adamw: Mapping[str, Any],
  dtype: str,
  compiled: bool,
) -> TorchSteps:
  """The peer's step, ready to be run; sizes are arguments of a `ViT` and a `MAEDecoder`."""
  pixels = np.ascontiguousarray(np.moveaxis(images_of(encoder, batch), -1, 1))  # B H W C -> B C H W
  batches = [{"pixel_values": pixels}]
  model = peer_of(encoder, decoder)
  return TorchSteps(model, batches, adamw=adamw, dtype=dtype, compiled=compiled)


def peer_of(encoder: Mapping[str, Any], decoder: Mapping[str, Any]) -> Any:
  """transformers' model of the same sizes, training."""
  import torch
  import transformers

  torch.manual_seed(0)
  return transformers.ViTMAEForPreTraining(
    transformers.ViTMAEConfig(
      image_size=encoder["image_size"],
      patch_size=encoder["patch_size"],
      num_channels=encoder.get("num_channels", 3),
      hidden_size=encoder["embed_dim"],
      num_hidden_layers=encoder["num_layers"],
      num_attention_heads=encoder["num_heads"],
      intermediate_size=encoder["mlp_dim"],
      decoder_hidden_size=decoder["embed_dim"],
      decoder_num_hidden_layers=decoder["num_layers"],
      decoder_num_attention_heads=decoder["num_heads"],
      decoder_intermediate_size=4 * decoder["embed_dim"],
      mask_ratio=0.75,
      norm_pix_loss=True,
      layer_norm_eps=1e-6,
    )
  ).train()


def show(results: list[dict[str, Any]]) -> None:
  """Prints the times, then the accounts."""
  print("| model | batch | pretrainjax | PyTorch | ratio (range) | floor |")
  print("| --- | ---: | ---: | ---: | ---: | ---: |")
  for r in results:
    ours, peer = (statistics.median(r["seconds"][side]) * 1e3 for side in (OURS, PEER))
    about = r["about"]
    best = max(side["matmul_flops"] for side in about.values())
    low, high = r["ratio_range"]
    print(
      f"| {r['size']} | {r['batch']} | {ours:.1f} ms | {peer:.1f} ms "
      f"| {r['ratio']:.2f} ({low:.2f} to {high:.2f}) | {about[OURS]['flops'] / best * 1e3:.1f} ms |"
    )
  for r in results:
    print(f"\n{r['size']}, milliseconds a step:\n")
    account.show({side: about["account"] for side, about in r["about"].items()})


if __name__ == "__main__":
  main()
