"""Training steps in bfloat16 on one GPU: two kernels of attention, against torch.compile.

  python benchmarks/gpu_vs_torch.py --out=runs/gpu_vs_torch
  python benchmarks/gpu_vs_torch.py --out=/tmp/tiny --sizes=tiny --rounds=1 --seconds=0.1  # a CPU

Needs torch and transformers beside JAX with a GPU, no prepared data and no network. The sides, all
processes of their own that take turns on one device: ours with cuDNN's attention, ours with XLA's
(on a CPU einsum's and XLA's), and the models of transformers (SDPA, autocast, fused AdamW) under
torch.compile. MFU is of the products of our XLA side, for all sides, against the dense bfloat16
peak of the chip. After each size OUT/gpu_vs_torch.json is written anew.
"""

import argparse
import dataclasses
import functools
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mae_vs_torch
import text_vs_torch
from alternate import race, ratio, serve
from sides import OurSteps, TorchSteps, check_equal_sizes, handlers

sys.path.insert(0, str(Path(__file__).parent.parent))  # where pretrainjax/ lies, if not installed

EAGER, COMPILED = "PyTorch eager", "PyTorch compiled"
OURS = "pretrainjax, "  # then a kernel
KERNELS = {"gpu": ("cudnn", "xla"), "cpu": ("einsum", "xla")}  # by backend; the last counts FLOPs
TINY = "tiny"
RATE, B2, DECAY = 1.5e-4, 0.95, 0.05  # AdamW's; MAE, arXiv 2111.06377, table 8, at batch 256


@dataclasses.dataclass(frozen=True)
class Images:
  """A masked autoencoder and its batch; encoders are ViTs of patches of 16.

  Attributes:
    variant: of `vit_variant`, without patch; "tiny" is none of these.
    image: pixels to a side.
    batch: images.
  """

  variant: str
  image: int
  batch: int


SIZES: dict[str, Images | text_vs_torch.Size] = {
  "ViT-B/16 MAE, 224 x 224": Images("B", 224, 256),
  "ViT-L/16 MAE, 224 x 224": Images("L", 224, 128),
  "BERT-base, rows of 512": text_vs_torch.Size("bert", 768, 12, 12, 30522, 512, 64),
  "GPT-2 124M, rows of 1024": text_vs_torch.Size("gpt", 768, 12, 12, 50257, 1024, 16),
  "tiny MAE": Images(TINY, 32, 4),
  "tiny BERT": text_vs_torch.Size("bert", 32, 2, 2, 128, 32, 4),
  "tiny GPT": text_vs_torch.Size("gpt", 32, 2, 2, 128, 32, 4),
}


def main() -> None:
  """Times every size, writes OUT/gpu_vs_torch.json and prints the table."""
  flags = parse()
  if flags.side:
    serve(handlers(side_of(flags)))
    return
  flags.out.mkdir(parents=True, exist_ok=True)
  machine = about_device()
  report = {"machine": machine, "arguments": sys.argv[1:], "results": []}
  for name in chosen(flags.sizes):
    report["results"].append(compare(name, flags, backend=machine["backend"]))
    # A time limit then costs one size, not all.
    (flags.out / "gpu_vs_torch.json").write_text(json.dumps(report, indent=2))
  versions = {about["version"] for r in report["results"] for about in r["about"].values()}
  print(f"{machine['device']}, {flags.dtype}, {', '.join(sorted(versions))}\n")
  for line in table(report["results"], peak=machine["peak_flops"]):
    print(line)


def parse() -> argparse.Namespace:
  """The flags."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--out", required=True, type=Path, help="folder for the results")
  parser.add_argument("--sizes", nargs="+", choices=[*SIZES, TINY], default=chosen([]))
  parser.add_argument("--batch", type=int, help="another batch for all sizes")
  parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
  parser.add_argument("--eager", action="store_true", help="PyTorch without torch.compile too")
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument("--seconds", type=float, default=3.0, help="of a turn")
  parser.add_argument("--side", help=argparse.SUPPRESS)
  return parser.parse_args()


def chosen(names: list[str]) -> list[str]:
  """Sizes by name; "tiny" stands for those that are, no name for all others."""
  tiny = [name for name in SIZES if name.startswith(TINY)]
  if not names:
    return [name for name in SIZES if name not in tiny]
  return list(dict.fromkeys(n for name in names for n in (tiny if name == TINY else [name])))


def about_device() -> dict[str, Any]:
  """What JAX runs on, asked in a process of its own: this one must not hold the device."""
  program = """
import json, jax
from pretrainjax.train.flops import peak_flops
kind = jax.devices()[0].device_kind
print(json.dumps(dict(backend=jax.default_backend(), device=kind, peak_flops=peak_flops(kind))))
"""
  command, root = [sys.executable, "-c", program], Path(__file__).parent.parent
  done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=root)
  return json.loads(done.stdout.splitlines()[-1])


def compare(name: str, flags: argparse.Namespace, *, backend: str) -> dict[str, Any]:
  """One size: times and costs of all sides."""
  command = [sys.executable, __file__, *sys.argv[1:], "--sizes", name]
  ours = [f"{OURS}{kernel}" for kernel in KERNELS[backend]]
  peers = [COMPILED, EAGER] if flags.eager else [COMPILED]
  commands = {side: [*command, f"--side={side}"] for side in (*ours, *peers)}
  times, about = race(commands, rounds=flags.rounds, round_seconds=flags.seconds)
  check_equal_sizes(about)
  check_kernels(about)
  result = {"size": name, "batch": flags.batch or SIZES[name].batch, "dtype": flags.dtype}
  result |= {"seconds": times, "about": about, "flops": about[ours[-1]]["flops"]}
  result["ratios"] = {side: ratio(times, side, COMPILED) for side in ours}
  words = ", ".join(f"{side} {r[0]:.2f}" for side, r in result["ratios"].items())
  print(f"{name}: of {COMPILED}'s time: {words}", file=sys.stderr, flush=True)
  return result


def check_kernels(about: Mapping[str, Mapping[str, Any]]) -> None:
  """Ends the program where a compiled step has not the attention that its side is named after."""
  for side, answers in about.items():
    if side.startswith(OURS) and bool(answers["fused_attention"]) != side.endswith("cudnn"):
      raise SystemExit(f"{side}: found {answers['fused_attention']} calls of cuDNN's attention")
    if not side.startswith(OURS) and answers["attention"] != "sdpa":
      raise SystemExit(f"{side}: attention is {answers['attention']}, expected sdpa")


def side_of(flags: argparse.Namespace) -> OurSteps | TorchSteps:
  """The side that the flags name, ready to be run."""
  size = SIZES[flags.sizes[0]]
  if flags.batch:
    size = dataclasses.replace(size, batch=flags.batch)
  is_ours, kernel = flags.side.startswith(OURS), flags.side.removeprefix(OURS)
  if isinstance(size, Images):
    if is_ours:
      return our_images(size, dtype=flags.dtype, kernel=kernel)
    return mae_vs_torch.peer_side(
      *sizes_of(size),
      batch=size.batch,
      adamw={"lr": RATE, "betas": (0.9, B2), "weight_decay": DECAY},
      dtype=flags.dtype,
      compiled=flags.side == COMPILED,
    )
  options = {"dtype": flags.dtype, "data_dir": ""}
  if is_ours:
    return text_vs_torch.our_side(size, kernel=kernel, **options)
  return text_vs_torch.torch_side(size, compiled=flags.side == COMPILED, **options)


def sizes_of(size: Images) -> tuple[dict[str, Any], dict[str, Any]]:
  """Arguments of a `ViT` and a `MAEDecoder`, of MAE's table 8 but for the tiny one."""
  from pretrainjax.models.vit import vit_variant

  is_tiny = size.variant == TINY
  tiny = {"embed_dim": 32, "num_layers": 2, "num_heads": 2, "mlp_dim": 64, "patch_size": 8}
  encoder = tiny if is_tiny else vit_variant(f"{size.variant}/16")
  grid = size.image // encoder["patch_size"]
  decoder = {
    "grid": (grid, grid),
    "patch_dim": encoder["patch_size"] ** 2 * 3,
    "encoder_dim": encoder["embed_dim"],
    "embed_dim": 16 if is_tiny else 512,
    "num_layers": 1 if is_tiny else 8,
    "num_heads": 2 if is_tiny else 16,
  }
  return encoder | {"image_size": size.image}, decoder


def our_images(size: Images, *, dtype: str, kernel: str) -> OurSteps:
  """Our step of MAE; loops over layers are unrolled, as those of text are."""
  from pretrainjax.models.decoder import MAEDecoder
  from pretrainjax.models.vit import ViT
  from pretrainjax.objectives.masked.mae import MAE
  from pretrainjax.train.optimizer import Optimizer

  encoder, decoder = sizes_of(size)
  backbone, head = (
    functools.partial(kind, **sizes, dtype=dtype, unroll=sizes["num_layers"])
    for kind, sizes in ((functools.partial(ViT, pool="mean"), encoder), (MAEDecoder, decoder))
  )
  return OurSteps(
    MAE(backbone=backbone, decoder=head),
    Optimizer(learning_rate=RATE, b2=B2, weight_decay=DECAY),
    {"image": mae_vs_torch.images_of(encoder, size.batch)},
    kernel=kernel,
  )


def table(results: list[dict[str, Any]], *, peak: float | None) -> list[str]:
  """Lines of Markdown, one row a side.

  Args:
    results: of `compare`.
    peak: FLOP/s of the chip; None leaves MFU out.
  """
  lines = [
    "| model | batch | side | ms a step | ratio to compiled (range) | MFU | peak GB | compile s |",
    "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
  ]
  for r in results:
    for side, times in r["seconds"].items():
      seconds, about = statistics.median(times), r["about"][side]
      ratios = r["ratios"].get(side)
      cells = [
        *(r["size"], str(r["batch"]), side, f"{seconds * 1e3:.1f}"),
        "{:.2f} ({:.2f} to {:.2f})".format(*ratios) if ratios else "",
        f"{r['flops'] / seconds / peak:.1%}" if peak else "",
        f"{about['peak_bytes'] / 1e9:.2f}",
        f"{about['compile_seconds']:.1f}",
      ]
      lines.append("| " + " | ".join(cells) + " |")
  return lines


if __name__ == "__main__":
  main()
