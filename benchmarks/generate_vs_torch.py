"""Generated tokens a second against `model.generate` of transformers in PyTorch, in one run.

  python benchmarks/generate_vs_torch.py --out=runs/generate_vs_torch

Needs the extra "parity". Same random weights, prompts and threads, float32, greedy, with a cache
of keys and values; token ids in and out. Ours is what `load_model(...).generate` runs. A turn
reads the prompts and writes the new tokens; both sides are processes of their own that take turns,
and their first tokens must be equal. The first call, which compiles, is told apart. The floor
reads every weight once a step at the rate at which either side sums as many bytes.
"""

import argparse
import dataclasses
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import account
import numpy as np
from alternate import Side, alternate, ratio, seconds_per_step, serve

OURS, PEER = "pretrainjax", "PyTorch"
PROMPT = 32  # tokens
INIT_STD = 0.1  # wide, so that what comes next depends on more than the last token


@dataclasses.dataclass(frozen=True)
class Size:
  """A GPT-2.

  Attributes:
    width: D.
    layers: blocks.
    heads: of attention.
    vocab: V.
    length: tokens of the longest text.
  """

  width: int
  layers: int
  heads: int
  vocab: int
  length: int

  @property
  def weight_bytes(self) -> int:
    """What every step reads: the matrices of blocks, and the table that the logits come from."""
    return 4 * (12 * self.layers * self.width**2 + self.vocab * self.width)


SIZES = {
  "GPT 192 x 4": Size(192, 4, 3, 8192, 256),
  "GPT-2 768 x 12": Size(768, 12, 12, 50257, 1024),
  "tiny": Size(32, 2, 2, 128, 128),
}


def main() -> None:
  """Times every size and batch, writes OUT/generate_vs_torch.json and prints the table."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--out", required=True, type=Path, help="folder for the results")
  parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES)[:2])
  parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
  parser.add_argument("--tokens", type=int, default=128, help="new ones of each prompt")
  parser.add_argument("--same", type=int, default=16, help="first tokens that must be equal")
  parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--seconds", type=float, default=6.0, help="of a turn")
  parser.add_argument("--side", choices=[OURS, PEER], help=argparse.SUPPRESS)
  flags = parser.parse_args()
  room = min(SIZES[name].length for name in flags.sizes) - PROMPT
  if flags.tokens > room:
    parser.error(f"--tokens: found {flags.tokens}, expected at most {room}, or larger --sizes")
  if flags.side:
    serve_side(flags)
    return
  flags.out.mkdir(parents=True, exist_ok=True)
  results = [compare(name, batch, flags) for name in flags.sizes for batch in flags.batches]
  machine = {"machine": account.processor(), "threads": flags.threads}
  report = machine | {"arguments": sys.argv[1:], "results": results}
  (flags.out / "generate_vs_torch.json").write_text(json.dumps(report, indent=2))
  print(f"{machine['machine']}, {flags.threads} threads, {flags.tokens} tokens a prompt\n")
  print("\n".join(table(results)))


def compare(name: str, batch: int, flags: argparse.Namespace) -> dict[str, Any]:
  """One size and batch: the times of both sides, and the floor."""
  command = [sys.executable, __file__, *sys.argv[1:], "--sizes", name, "--batches", str(batch)]
  command += ["--threads", str(flags.threads)]
  sides: dict[str, Side] = {}
  about: dict[str, dict[str, Any]] = {}
  for side in (PEER, OURS):  # the peer makes the weights
    sides[side] = Side([*command, f"--side={side}"])
    about[side] = sides[side].ask(do="about")
  check_same(about[OURS].pop("tokens"), about[PEER].pop("tokens"), flags.same)
  times = alternate(sides, rounds=flags.rounds, round_seconds=flags.seconds)
  for side in sides.values():
    side.close()
  low_middle_high = ratio(times, PEER, OURS)  # of rates: seconds the other way round
  result = {"size": name, "batch": batch, "tokens": flags.tokens, "seconds": times}
  result |= {"about": about, "ratio": low_middle_high}
  result["rate"] = {s: batch * flags.tokens / statistics.median(t) for s, t in times.items()}
  bandwidth = max(answers["bandwidth"] for answers in about.values())
  result["floor"] = batch * bandwidth / SIZES[name].weight_bytes
  print(f"{name}, {batch}: {low_middle_high[0]:.2f} of PyTorch's rate", file=sys.stderr, flush=True)
  return result


def check_same(ours: list[list[int]], theirs: list[list[int]], count: int) -> None:
  """Ends the program where the first `count` tokens of a prompt differ."""
  for row, (a, b) in enumerate(zip(ours, theirs, strict=True)):
    same = next((i for i, pair in enumerate(zip(a, b, strict=True)) if pair[0] != pair[1]), len(a))
    if same < min(count, len(b)):
      raise SystemExit(f"prompt {row}: tokens differ from number {same + 1} on: {a} and {b}")


def serve_side(flags: argparse.Namespace) -> None:
  """Answers as one of the sides, on as many cores as there are to be threads."""
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: flags.threads])
  os.environ["NPROC"] = os.environ["OMP_NUM_THREADS"] = str(flags.threads)
  name, batch = flags.sizes[0], flags.batches[0]
  make = ours if flags.side == OURS else peer
  size, weights = SIZES[name], flags.out / name.replace(" ", "_")
  generate, bandwidth, version = make(size, weights, batch=batch, tokens=flags.tokens)
  start = time.perf_counter()
  found = generate()
  about = {
    "first_seconds": time.perf_counter() - start,
    "tokens": found,
    "bandwidth": bandwidth,
    "version": version,
  }

  def run(times: int) -> None:
    for _ in range(times):
      generate()

  serve({"time": lambda steps: seconds_per_step(run, steps), "about": lambda: about})


Made = tuple[Callable[[], list[list[int]]], float, str]


def prompts_of(size: Size, batch: int) -> list[list[int]]:
  """Random tokens."""
  return np.random.default_rng(0).integers(0, size.vocab, (batch, PROMPT)).tolist()


def ours(size: Size, weights: Path, *, batch: int, tokens: int, dtype: str = "float32") -> Made:
  """What generates, bytes a second that are summed, and the version."""
  import jax
  from flax import nnx

  from pretrainjax.generation.generate import Generator
  from pretrainjax.generation.sampling import Sampling
  from pretrainjax.models.gpt import GPT
  from pretrainjax.train.load_params import load_params

  bandwidth = account.jax_bandwidth(size.weight_bytes)
  sizes = {"embed_dim": size.width, "num_layers": size.layers, "num_heads": size.heads}
  sizes |= {"vocab_size": size.vocab, "max_length": size.length, "mlp_dim": 4 * size.width}
  graphdef, _ = nnx.split(nnx.eval_shape(lambda: GPT(**sizes, dtype=dtype, rngs=nnx.Rngs(0))))
  params = nnx.State(load_params(f"hf:{weights}"))
  # No token has the number that would end a text.
  generator = Generator(nnx.merge(graphdef, params), end_id=size.vocab)
  prompts = prompts_of(size, batch)

  def generate() -> list[list[int]]:
    run = generator.start(prompts, max_new_tokens=tokens, sampling=Sampling(temperature=0))
    while not run.is_done:
      run.advance()
    return run.tokens

  return generate, bandwidth, f"jax {jax.__version__}"


def peer(
  size: Size,
  weights: Path,
  *,
  batch: int,
  tokens: int,
  dtype: str = "float32",
  device: str = "cpu",
  compiled: bool = False,
) -> Made:
  """The same of the peer, which leaves its weights for the other side.

  `compiled` takes a cache of static shape, for which transformers compiles the model.
  """
  import torch
  import transformers

  torch.set_num_threads(len(os.sched_getaffinity(0)))
  torch.manual_seed(0)
  config = transformers.GPT2Config(
    vocab_size=size.vocab,
    n_positions=size.length,
    n_embd=size.width,
    n_layer=size.layers,
    n_head=size.heads,
    initializer_range=INIT_STD,
    bos_token_id=0,
    eos_token_id=None,
    pad_token_id=0,
  )
  model = transformers.GPT2LMHeadModel(config).eval()
  model.save_pretrained(weights)
  model = model.to(device, getattr(torch, dtype))
  prompts = torch.tensor(prompts_of(size, batch), device=device)
  attention_mask = torch.ones_like(prompts)
  cache = {"cache_implementation": "static"} if compiled else {}

  def generate() -> list[list[int]]:
    with torch.inference_mode():
      found = model.generate(
        prompts,
        attention_mask=attention_mask,
        max_new_tokens=tokens,
        do_sample=False,
        use_cache=True,
        **cache,
      )
    return found[:, PROMPT:].tolist()

  version = f"torch {torch.__version__}, transformers {transformers.__version__}"
  return generate, account.torch_bandwidth(size.weight_bytes), version


def table(results: list[dict[str, Any]]) -> list[str]:
  """Lines of Markdown."""
  lines = [
    "| model | batch | pretrainjax, tokens/s | PyTorch | ratio (range) | floor | first call, s |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
  ]
  for r in results:
    first = " / ".join(f"{r['about'][side]['first_seconds']:.1f}" for side in (OURS, PEER))
    cells = [
      r["size"],
      str(r["batch"]),
      *(f"{r['rate'][side]:.0f}" for side in (OURS, PEER)),
      "{:.2f} ({:.2f} to {:.2f})".format(*r["ratio"]),
      f"{r['floor']:.0f}",
      first,
    ]
    lines.append("| " + " | ".join(cells) + " |")
  return lines


if __name__ == "__main__":
  main()
