"""A training step of wav2vec 2.0 against Wav2Vec2ForPreTraining of transformers, in one run.

  python benchmarks/wav2vec2_vs_torch.py --out=runs/wav2vec2_vs_torch

Needs the extra "parity" (torch and transformers). Same networks, batch and precision; loss,
gradient and AdamW, in processes of their own that take turns. The peer is given its masks and
distractors, which its users draw on the host; ours draws them in the step.
"""

import argparse
import json
import platform
import statistics
import sys
from pathlib import Path
from typing import Any, NamedTuple

import account
import numpy as np
from alternate import race, ratio, serve
from sides import OurSteps, TorchSteps, check_equal_sizes, handlers

OURS, PEER = "pretrainjax", "PyTorch"
RATE = 16_000
# Of the waveform's convolutions, in both libraries' order.
SIZES, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
START_RATE, SPAN_LENGTH, DISTRACTORS = 0.065, 10, 100


class Size(NamedTuple):
  """A network and its batch.

  Attributes:
    width: of tokens.
    layers: of the transformer.
    heads: of its attention.
    channels: of the convolutions.
    rows: of a batch.
    seconds: of sound in a row.
  """

  width: int
  layers: int
  heads: int
  channels: int
  rows: int
  seconds: float


MODELS = {
  "tiny": Size(width=16, layers=1, heads=2, channels=16, rows=2, seconds=0.5),
  "small, 2 s": Size(width=192, layers=4, heads=4, channels=128, rows=8, seconds=2.0),
  "base, 4 s": Size(width=768, layers=12, heads=12, channels=512, rows=2, seconds=4.0),
}


def main() -> None:
  """Times every size, writes OUT/wav2vec2_vs_torch.json and prints the tables."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--out", required=True, type=Path, help="folder for the results")
  parser.add_argument("--sizes", nargs="+", choices=list(MODELS), default=list(MODELS)[1:])
  parser.add_argument("--compile", action="store_true", help="torch.compile the peer")
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--seconds", type=float, default=8.0, help="of a turn")
  parser.add_argument("--side", choices=[OURS, PEER], help=argparse.SUPPRESS)
  flags = parser.parse_args()
  if flags.side:
    size = MODELS[flags.sizes[0]]
    serve(handlers(our_side(size) if flags.side == OURS else peer_side(size, flags.compile)))
    return
  flags.out.mkdir(parents=True, exist_ok=True)
  report: dict[str, Any] = {"machine": platform.processor(), "arguments": sys.argv[1:]}
  report["results"] = [compare(name, flags) for name in flags.sizes]
  (flags.out / "wav2vec2_vs_torch.json").write_text(json.dumps(report, indent=2))
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
  result = {"size": name, "seconds": times, "about": about}
  result["ratio"], *result["ratio_range"] = ratio(times, OURS, PEER)
  print(f"{name}: {result['ratio']:.2f} of PyTorch's time", file=sys.stderr, flush=True)
  return result


def sounds(size: Size) -> np.ndarray:
  """Noise of the normal distribution, "B S"; what is heard moves no time."""
  shape = (size.rows, round(size.seconds * RATE))
  return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def our_side(size: Size) -> OurSteps:
  """Our step, ready to be run."""
  import functools

  from pretrainjax.models.product_quantizer import ProductQuantizer
  from pretrainjax.models.wav2vec2 import Wav2Vec2
  from pretrainjax.objectives.masked.wav2vec2 import Wav2Vec2Pretraining
  from pretrainjax.train.optimizer import Optimizer

  backbone = functools.partial(
    Wav2Vec2,
    embed_dim=size.width,
    num_layers=size.layers,
    num_heads=size.heads,
    mlp_dim=4 * size.width,
    conv_dims=(size.channels,) * len(SIZES),
    conv_sizes=SIZES,
    conv_strides=STRIDES,
    normalise=False,
    unroll=size.layers,
  )
  objective = Wav2Vec2Pretraining(
    backbone=backbone,
    quantizer=functools.partial(ProductQuantizer, in_dim=size.channels, embed_dim=size.width),
    start_rate=START_RATE,
    span_length=SPAN_LENGTH,
    num_distractors=DISTRACTORS,
    feature_weight=0.0,  # which the peer has not
    feature_gradient=1.0,
  )
  audio = sounds(size)
  batch = {"audio": audio, "num_samples": np.full(len(audio), audio.shape[1], np.int32)}
  return OurSteps(objective, Optimizer(learning_rate=1e-4, weight_decay=0.01, b2=0.98), batch)


def peer_side(size: Size, compiled: bool) -> TorchSteps:
  """The peer's step, ready to be run."""
  import torch
  import transformers
  from transformers.models.wav2vec2 import modeling_wav2vec2 as theirs

  torch.manual_seed(0)
  rates = ("hidden", "activation", "attention", "feat_proj", "feat_quantizer", "final")
  config = transformers.Wav2Vec2Config(
    hidden_size=size.width,
    num_hidden_layers=size.layers,
    num_attention_heads=size.heads,
    intermediate_size=4 * size.width,
    conv_dim=(size.channels,) * len(SIZES),
    conv_kernel=SIZES,
    conv_stride=STRIDES,
    layerdrop=0.0,
    **{f"{name}_dropout": 0.0 for name in rates},
  )
  model = transformers.Wav2Vec2ForPreTraining(config).train()
  audio = sounds(size)
  length = int(model._get_feat_extract_output_lengths(audio.shape[1]))
  shape = (len(audio), length)
  np.random.seed(0)  # noqa: NPY002 - of their functions
  mask = theirs._compute_mask_indices(shape, mask_prob=0.65, mask_length=SPAN_LENGTH)
  negatives = theirs._sample_negative_indices(shape, DISTRACTORS, mask_time_indices=mask)
  batch = {
    "input_values": audio,
    "mask_time_indices": mask,
    "sampled_negative_indices": negatives.astype(np.int64),
  }
  adamw = {"lr": 1e-4, "betas": (0.9, 0.98), "weight_decay": 0.01}
  return TorchSteps(model, [batch], adamw=adamw, dtype="float32", compiled=compiled)


def show(results: list[dict[str, Any]]) -> None:
  """Prints the times, then the accounts."""
  print("| model | batch | pretrainjax | PyTorch | ratio (range) | floor |")
  print("| --- | ---: | ---: | ---: | ---: | ---: |")
  for r in results:
    ours, peer = (statistics.median(r["seconds"][side]) * 1e3 for side in (OURS, PEER))
    best = max(side["matmul_flops"] for side in r["about"].values())
    low, high = r["ratio_range"]
    print(
      f"| {r['size']} | {MODELS[r['size']].rows} | {ours:.1f} ms | {peer:.1f} ms "
      f"| {r['ratio']:.2f} ({low:.2f} to {high:.2f}) "
      f"| {r['about'][OURS]['flops'] / best * 1e3:.1f} ms |"
    )
  for r in results:
    print(f"\n{r['size']}, milliseconds a step:\n")
    account.show({side: about["account"] for side, about in r["about"].items()})


if __name__ == "__main__":
  main()
