"""Training steps of BERT and GPT-2 against transformers in PyTorch, in one run.

  python benchmarks/text_vs_torch.py --data_dir=data --out=runs/text_vs_torch [--dtype=bfloat16]

Needs the extra "parity" and, for rows of mixed lengths, the prepared set "wordnet". Same models and
precision; loss, gradient and AdamW, on tokens that lie on the device already. PyTorch has two
sides, eager and torch.compile; all are processes of their own that take turns. Times are of a
token that is no padding. "full": every row has as many tokens as the model takes. "mixed": the
glosses of WordNet, which the peer pads to the longest of each batch, and ours packs.
"""

import argparse
import dataclasses
import functools
import json
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

import account
import numpy as np
from alternate import race, ratio, serve
from sides import OurSteps, TorchSteps, check_equal_sizes, handlers

OURS, EAGER, COMPILED = "pretrainjax", "PyTorch eager", "PyTorch compiled"
MASK_RATE = 0.15
RATE, DECAY = 1e-4, 0.01  # of AdamW
SPECIAL = 5  # ids below are special


@dataclasses.dataclass(frozen=True)
class Size:
  """A model and its batch.

  Attributes:
    kind: "bert" or "gpt".
    width: D.
    layers: blocks.
    heads: of attention.
    vocab: V.
    length: T.
    batch: rows.
    mixed: texts of mixed lengths in place of full rows.
  """

  kind: str
  width: int
  layers: int
  heads: int
  vocab: int
  length: int
  batch: int
  mixed: bool = False


SIZES = {
  "BERT 128 x 4, full": Size("bert", 128, 4, 2, 8192, 128, 32),
  "BERT-small 512 x 4, full": Size("bert", 512, 4, 8, 30522, 128, 16),
  "BERT-base 768 x 12, full": Size("bert", 768, 12, 12, 30522, 128, 8),
  "BERT 128 x 4, mixed": Size("bert", 128, 4, 2, 8192, 128, 32, mixed=True),
  "BERT-small 512 x 4, mixed": Size("bert", 512, 4, 8, 30522, 128, 16, mixed=True),
  "GPT 192 x 4, full": Size("gpt", 192, 4, 3, 8192, 256, 16),
  "GPT 384 x 6, full": Size("gpt", 384, 6, 6, 8192, 256, 12),
  "GPT-2 768 x 12, full": Size("gpt", 768, 12, 12, 50257, 256, 4),
}


def main() -> None:
  """Times every size, writes OUT/text_vs_torch.json and prints the tables."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--out", required=True, type=Path, help="folder for the results")
  parser.add_argument("--data_dir", default="data")
  parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
  parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
  parser.add_argument("--no_compile", action="store_true", help="leave torch.compile out")
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--seconds", type=float, default=6.0, help="of a turn")
  parser.add_argument("--side", choices=[OURS, EAGER, COMPILED], help=argparse.SUPPRESS)
  flags = parser.parse_args()
  if flags.side:
    size, options = SIZES[flags.sizes[0]], {"dtype": flags.dtype, "data_dir": flags.data_dir}
    if flags.side == OURS:
      serve(handlers(our_side(size, **options)))
    else:
      serve(handlers(torch_side(size, compiled=flags.side == COMPILED, **options)))
    return
  flags.out.mkdir(parents=True, exist_ok=True)
  results = [compare(name, flags) for name in flags.sizes]
  report = {"machine": platform.machine(), "arguments": sys.argv[1:], "results": results}
  (flags.out / "text_vs_torch.json").write_text(json.dumps(report, indent=2))
  show(results)


def compare(name: str, flags: argparse.Namespace) -> dict[str, Any]:
  """One size: the times of all sides, and where each spends them."""
  command = [sys.executable, __file__, *sys.argv[1:], "--sizes", name]
  names = (OURS, EAGER) if flags.no_compile else (OURS, EAGER, COMPILED)
  times, about = race(
    {side: [*command, f"--side={side}"] for side in names},
    rounds=flags.rounds,
    round_seconds=flags.seconds,
    questions=("about", "account"),
  )
  check_equal_sizes(about)
  tokens = tokens_of(SIZES[name], flags.data_dir)
  for side in names:
    about[side]["tokens"] = tokens["ours" if side == OURS else "peer"]
  per_token = {s: [t / about[s]["tokens"] for t in times[s]] for s in names}
  result = {"size": name, "dtype": flags.dtype, "seconds": times, "about": about}
  result["ratios"] = {peer: ratio(per_token, OURS, peer) for peer in names[1:]}
  words = ", ".join(f"{r[0]:.2f} of {peer}" for peer, r in result["ratios"].items())
  print(f"{name}: {words}", file=sys.stderr, flush=True)
  return result


def texts_of(size: Size, data_dir: str) -> list[np.ndarray]:
  """Glosses with their special tokens, enough for a batch of the peer's."""
  from pretrainjax.data.text_data import TextData

  data = TextData(
    datasets="wordnet", data_dir=data_dir, batch_size=size.batch, length=size.length, pair="first"
  )
  batches = data.batches(seed=0)
  texts: list[np.ndarray] = []
  for _ in range(4):
    batch = next(batches)
    texts += [t[s > 0] for t, s in zip(batch["tokens"], batch["segments"], strict=True)]
  batches.close()
  return texts


def full_rows(size: Size) -> np.ndarray:
  """Random tokens; what they say moves no time."""
  rng = np.random.default_rng(0)
  return rng.integers(SPECIAL, size.vocab, (size.batch, size.length), dtype=np.int32)


def our_side(size: Size, *, dtype: str, data_dir: str) -> OurSteps:
  """Our step, ready to be run."""
  from pretrainjax.train.optimizer import Optimizer

  if size.mixed:
    tokens, segments = packed(texts_of(size, data_dir), size)
  else:
    tokens = full_rows(size)
    segments = np.ones_like(tokens)
  return OurSteps(
    objective_of(size, dtype),
    Optimizer(learning_rate=RATE, weight_decay=DECAY),
    {"tokens": tokens, "segments": segments},
  )


def torch_side(size: Size, *, dtype: str, data_dir: str, compiled: bool) -> TorchSteps:
  """The peer's step, ready to be run."""
  return TorchSteps(
    peer_of(size),
    peer_batches(size, data_dir),
    adamw={"lr": RATE, "betas": (0.9, 0.999), "weight_decay": DECAY},
    dtype=dtype,
    compiled=compiled,
    dynamic=size.mixed or None,
  )


def tokens_of(size: Size, data_dir: str) -> dict[str, float]:
  """Tokens a step that are no padding, ours and, on the average of its batches, the peer's."""
  if not size.mixed:
    return {"ours": size.batch * size.length, "peer": size.batch * size.length}
  texts = texts_of(size, data_dir)
  lengths = sum(map(len, texts))
  return {"ours": lengths, "peer": lengths / -(-len(texts) // size.batch)}


def packed(texts: list[np.ndarray], size: Size) -> tuple[np.ndarray, np.ndarray]:
  """Whole texts first-fit into as few rows as there are room for: tokens and segments."""
  rows: list[list[np.ndarray]] = []
  free: list[int] = []
  for text in texts:
    place = next((i for i, room in enumerate(free) if room >= len(text)), None)
    if place is None:
      rows.append([])
      free.append(size.length)
      place = len(rows) - 1
    rows[place].append(text)
    free[place] -= len(text)
  tokens = np.zeros((len(rows), size.length), np.int32)
  segments = np.zeros_like(tokens)
  for row, members in enumerate(rows):
    line = np.concatenate(members)
    tokens[row, : len(line)] = line
    segments[row, : len(line)] = np.repeat(np.arange(1, len(members) + 1), list(map(len, members)))
  return tokens, segments


def objective_of(size: Size, dtype: str) -> Any:
  """What our side minimises."""
  from pretrainjax.models.bert import BERT
  from pretrainjax.models.gpt import GPT
  from pretrainjax.models.lm_head import MaskedLMHead
  from pretrainjax.objectives.autoregressive.causal_lm import CausalLM
  from pretrainjax.objectives.masked.masked_lm import MaskedLM

  backbone = functools.partial(
    GPT if size.kind == "gpt" else BERT,
    vocab_size=size.vocab,
    max_length=size.length,
    embed_dim=size.width,
    num_layers=size.layers,
    num_heads=size.heads,
    mlp_dim=4 * size.width,
    dtype=dtype,
    unroll=size.layers,
  )
  if size.kind == "gpt":
    return CausalLM(backbone=backbone)
  head = functools.partial(MaskedLMHead, embed_dim=size.width, vocab_size=size.vocab)
  return MaskedLM(backbone=backbone, head=head)


def peer_batches(size: Size, data_dir: str) -> list[dict[str, np.ndarray]]:
  """The peer's batches, padded to the longest text of each."""
  rng = np.random.default_rng(1)
  batches = []
  texts = texts_of(size, data_dir) if size.mixed else list(full_rows(size))
  for start in range(0, len(texts), size.batch):
    part = texts[start : start + size.batch]
    ids = np.zeros((len(part), max(map(len, part))), np.int64)
    for row, text in enumerate(part):
      ids[row, : len(text)] = text
    valid = np.arange(ids.shape[1])[None] < np.array([[len(t)] for t in part])
    labels = np.where(valid, ids, -100)
    if size.kind == "bert":
      labels = np.where(rng.random(ids.shape) < MASK_RATE, labels, -100)
    batch = {"input_ids": ids, "labels": labels}
    batches.append(batch | ({"attention_mask": valid.astype(np.int64)} if size.mixed else {}))
  return batches


def peer_of(size: Size) -> Any:
  """transformers' model of the same sizes, training, without dropout."""
  import torch
  import transformers

  torch.manual_seed(0)
  if size.kind == "gpt":
    return transformers.GPT2LMHeadModel(
      transformers.GPT2Config(
        vocab_size=size.vocab,
        n_positions=size.length,
        n_embd=size.width,
        n_layer=size.layers,
        n_head=size.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
        bos_token_id=2,
        eos_token_id=3,
      )
    ).train()
  return transformers.BertForMaskedLM(
    transformers.BertConfig(
      vocab_size=size.vocab,
      max_position_embeddings=size.length,
      hidden_size=size.width,
      num_hidden_layers=size.layers,
      num_attention_heads=size.heads,
      intermediate_size=4 * size.width,
      hidden_dropout_prob=0.0,
      attention_probs_dropout_prob=0.0,
    )
  ).train()


def show(results: list[dict[str, Any]]) -> None:
  """Prints the times, then the accounts."""
  peers = [s for s in (EAGER, COMPILED) if any(s in r["seconds"] for r in results)]
  head = [OURS, *peers, *(f"ratio to {p.split()[-1]} (range)" for p in peers), "peak MB, each"]
  print("| microseconds a token | " + " | ".join(head) + " |")
  print("| --- |" + " ---: |" * len(head))
  for r in results:
    about = r["about"]
    times = [statistics.median(r["seconds"][s]) / about[s]["tokens"] * 1e6 for s in (OURS, *peers)]
    ratios = ["{:.2f} ({:.2f} to {:.2f})".format(*r["ratios"][p]) for p in peers]
    memory = " / ".join(f"{about[s]['peak_bytes'] / 1e6:.0f}" for s in (OURS, *peers))
    cells = [r["size"], *(f"{t:.1f}" for t in times), *ratios, memory]
    print("| " + " | ".join(cells) + " |")
  for r in results:
    print(f"\n{r['size']}, milliseconds a step:\n")
    account.show({side: about["account"] for side, about in r["about"].items()})


if __name__ == "__main__":
  main()
