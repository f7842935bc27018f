"""All that a short visit to a GPU should bring back, in order of worth.

  python benchmarks/gpu_visit.py --minutes=12 --out=runs/visit
  python benchmarks/gpu_visit.py --report=runs/visit     # docs/results-gpu.md from what it found
  python benchmarks/gpu_visit.py --minutes=2 --out=/tmp/visit --sizes=tiny     # every part, a CPU

Needs JAX with a GPU, flax, optax, orbax, torch and transformers; no network and no prepared data.
`benchmarks/visit/wheels.py` lists what else must travel along. OUT/visit.json is written anew after
each result, so that the time limit costs what comes after it and no more; a part that fails is
reported and the rest goes on.

checks      our losses and gradients against float32 on the CPU; kernels of attention against
            einsum; the same bits twice from a step that is compiled twice
steps       training steps beside transformers' models under torch.compile (bfloat16 autocast, SDPA,
            fused AdamW), processes of their own that take turns
generate    tokens a second of a GPT-2 beside transformers with a static cache, compiled
profile     where the time of our two worst ratios goes, ours and the peer's
sweep       batch and remat of a GPT-2 of 350 M parameters, for its best MFU
"""

import argparse
import functools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # where pretrainjax/ lies, if not installed

from alternate import serve
from visit import side as sides
from visit.page import page, table
from visit.parts import PARTS
from visit.visit import Visit

PAGE = Path("docs/results-gpu.md")


def main() -> int:
  """Runs the parts, prints the tables; returns 1 where something failed that had its time."""
  flags = parse()
  if flags.report:
    PAGE.write_text(page(Visit.load(flags.report)))
    print(f"wrote {PAGE}")
    return 0
  if flags.serve:
    serve(handlers(flags))
    return 0
  visit = Visit(flags.out, minutes=flags.minutes, sizes=flags.sizes, dtype=flags.dtype)
  with visit:
    for name in flags.parts:
      visit.attempt(functools.partial(PARTS[name], visit), part=name)
  print("\n".join(table(visit.found)))
  return 1 if visit.found["failed"] else 0


def parse() -> argparse.Namespace:
  """The flags."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--out", type=Path, help="folder for the results")
  parser.add_argument("--report", type=Path, metavar="DIR", help=f"make {PAGE} from an earlier OUT")
  parser.add_argument("--minutes", type=float, default=12.0, help="all parts together")
  parser.add_argument("--sizes", choices=["full", "tiny"], default="full")
  parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
  parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
  # What the processes are told that this one starts.
  parser.add_argument("--serve", choices=["checks", "steps", "generate", "sweep"], help=_HIDDEN)
  parser.add_argument("--side", choices=[sides.OURS, sides.PEER], help=_HIDDEN)
  parser.add_argument("--model", help=_HIDDEN)
  parser.add_argument("--batch", type=int, help=_HIDDEN)
  flags = parser.parse_args()
  if flags.out is None and flags.report is None:
    parser.error("--out: found nothing, expected a folder for the results")
  return flags


_HIDDEN = argparse.SUPPRESS


def handlers(flags: argparse.Namespace) -> dict:
  """What a process answers that was started for a part."""
  lock, common = flags.out / "device.lock", {"sizes": flags.sizes}
  if flags.serve == "checks":
    return sides.check_handlers(**common)
  common["dtype"] = flags.dtype
  if flags.serve == "steps":
    return sides.step_handlers(flags.side, flags.model, lock=lock, **common)
  if flags.serve == "generate":
    return sides.generate_handlers(flags.side, batch=flags.batch, folder=flags.out, **common)
  return sides.sweep_handlers(lock=lock, **common)


if __name__ == "__main__":
  sys.exit(main())
