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
from pathlib import Path
from typing import Any

import account
from alternate import Side, alternate, ratio, seconds_per_step, serve

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
    model = (Ours if flags.side == OURS else Torch)(flags)
    serve({"time": lambda steps: seconds_per_step(model.run, steps), "about": model.about})
    return
  flags.out.mkdir(parents=True, exist_ok=True)
  report = {"machine": platform.processor() or platform.machine(), "arguments": sys.argv[1:]}
  report["results"] = [compare(name, flags) for name in flags.sizes]
  (flags.out / "mae_vs_torch.json").write_text(json.dumps(report, indent=2))
  show(report["results"])


def compare(name: str, flags: argparse.Namespace) -> dict[str, Any]:
  """One size: the times of both sides, and where each spends them."""
  command = [sys.executable, __file__, *sys.argv[1:], "--sizes", name]
  environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # on a GPU, leave the peer some memory
  sides = {side: Side([*command, f"--side={side}"], environment) for side in (OURS, PEER)}
  times = alternate(sides, rounds=flags.rounds, round_seconds=flags.seconds)
  result = {"size": name, "batch": flags.batch or SIZES[name][1], "dtype": flags.dtype}
  result |= {"seconds": times, "about": {side: s.ask(do="about") for side, s in sides.items()}}
  for side in sides.values():
    side.close()
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


class Ours:
  """The step of `pretrainjax.pretrain`."""

  def __init__(self, flags: argparse.Namespace):
    import jax
    import numpy as np

    from pretrainjax.train.assemble import assemble

    name = flags.sizes[0]
    config = config_of(name, flags.dtype)
    batch = config.data.batch_size = flags.batch or SIZES[name][1]
    config.optimizer.schedule = None
    run = assemble(config, num_examples=batch)
    state = run.parallel.make(run.init)
    backbone = config.objective.backbone
    shape = (batch, backbone.image_size, backbone.image_size, backbone.get("num_channels", 3))
    images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    self._batch = run.parallel.put({"image": images})
    program = run.parallel.program(run.step(), state)
    self._flops = count_flops(program, state, self._batch)
    self._step = program.lower(state, self._batch).compile()
    self._state = state
    self.run(2)
    self._jax = jax

  def run(self, steps: int) -> None:
    """Takes steps and waits for them."""
    for _ in range(steps):
      self._state, metrics = self._step(self._state, self._batch)
    metrics["loss"].block_until_ready()

  def about(self) -> dict[str, Any]:
    """Operations of a step, the fastest matrix product, and the account."""
    return {
      "flops": self._flops,
      "matmul_flops": account.jax_matmul_flops(),
      "account": account.of_jax(lambda: self.run(3), self._step.as_text(), 3),
      "version": self._jax.__version__,
    }


class Torch:
  """ViTMAEForPreTraining with fused AdamW."""

  def __init__(self, flags: argparse.Namespace):
    import torch

    name = flags.sizes[0]
    config = config_of(name, flags.dtype)
    self._torch, self._device = torch, "cuda" if torch.cuda.is_available() else "cpu"
    self._autocast = flags.dtype != "float32"
    torch.manual_seed(0)
    model = peer_of(config.objective).to(self._device)
    optimizer = config.optimizer
    self._optimizer = torch.optim.AdamW(
      model.parameters(),
      lr=optimizer.learning_rate,
      betas=(0.9, optimizer.b2),
      weight_decay=optimizer.weight_decay,
      fused=True,
    )
    c = model.config
    shape = (flags.batch or SIZES[name][1], c.num_channels, c.image_size, c.image_size)
    self._images = torch.randn(shape, device=self._device)
    self._model = torch.compile(model) if flags.compile else model
    self.run(3)

  def run(self, steps: int) -> None:
    """Takes steps and waits for them."""
    for _ in range(steps):
      self._optimizer.zero_grad(set_to_none=True)
      with self._torch.autocast(self._device, self._torch.bfloat16, enabled=self._autocast):
        loss = self._model(pixel_values=self._images).loss
      loss.backward()
      self._optimizer.step()
    loss.item()

  def about(self) -> dict[str, Any]:
    """The fastest matrix product, and the account."""
    return {
      "matmul_flops": account.torch_matmul_flops(self._device),
      "account": account.of_torch(lambda: self.run(3), 3),
      "version": self._torch.__version__,
    }


def count_flops(program: Any, *arguments: Any) -> float:
  """Operations of matrix products."""
  from pretrainjax.train.flops import count_flops

  return count_flops(program, *arguments)


def peer_of(objective: Any) -> Any:
  """transformers' model of the same sizes, training."""
  import transformers

  encoder, decoder = objective.backbone, objective.decoder
  return transformers.ViTMAEForPreTraining(
    transformers.ViTMAEConfig(
      image_size=encoder.image_size,
      patch_size=encoder.patch_size,
      num_channels=encoder.get("num_channels", 3),
      hidden_size=encoder.embed_dim,
      num_hidden_layers=encoder.num_layers,
      num_attention_heads=encoder.num_heads,
      intermediate_size=encoder.mlp_dim,
      decoder_hidden_size=decoder.embed_dim,
      decoder_num_hidden_layers=decoder.num_layers,
      decoder_num_attention_heads=decoder.num_heads,
      decoder_intermediate_size=4 * decoder.embed_dim,
      mask_ratio=objective.get("mask_ratio", 0.75),
      norm_pix_loss=objective.get("norm_pix_loss", True),
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
