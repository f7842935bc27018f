"""What a visit found, as tables in Markdown and as a page of the documentation."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from visit.side import OURS, PEER

RATIO_GOAL, MFU_GOAL = 0.8, 0.5
_CONVENTION = """\
MFU is of the matrix products and convolutions of a step, forward and backward, each once: what is
recomputed does not count, attention counts the pairs of tokens that see each other (so half of a
causal row), and no padding of packed rows is left out. The peak is the chip's dense bfloat16 one.
Peaks of memory: ours of the compiled program, the peer's of its allocator. "Compile" is the time of
our compiler alone, and of the peer's whole first step. Ratios are medians over rounds in which both
sides take turns, lowest and highest behind; of text, of a token that is no padding.\
"""


def page(found: Mapping[str, Any]) -> str:
  """The page: where and how it was measured, then the tables."""
  machine, arguments = found.get("machine", {}), found["arguments"]
  flags = f"--minutes={arguments['minutes']:g} --sizes={arguments['sizes']}"
  head = [
    "# Results on GPUs",
    "",
    "Made by `python benchmarks/gpu_visit.py --report=DIR` from one visit to one machine:",
    "",
    "```bash",
    f"python benchmarks/gpu_visit.py {flags} --dtype={arguments['dtype']} --out=DIR",
    "```",
    "",
  ]
  return "\n".join([*head, *_machine(machine), "", *table(found), ""])


def table(found: Mapping[str, Any]) -> list[str]:
  """All tables, each part's under its heading, and what failed or was left out."""
  parts: dict[str, Callable[..., list[str]]] = {
    "checks": _checks,
    "steps": _steps,
    "generate": _generation,
    "profile": _profiles,
    "sweep": _sweep,
  }
  lines: list[str] = []
  for name, show in parts.items():
    rows = [r for r in found["results"] if r["part"] == name]
    if rows:
      lines += [f"## {name.capitalize()}", "", *show(rows, found.get("machine", {})), ""]
  for place, title in (("failed", "Failed"), ("left", "Left out")):
    if found[place]:
      lines += [f"## {title}", "", *(f"* {_said(row)}" for row in found[place]), ""]
  return lines[:-1]


def _said(row: Mapping[str, Any]) -> str:
  about = ", ".join(str(v) for k, v in row.items() if k != "reason")
  return f"{about}: {row['reason']}"


def _machine(machine: Mapping[str, Any]) -> list[str]:
  peak = machine.get("peak_flops")
  words = [str(machine.get("device", "device not asked")), str(machine.get("versions", ""))]
  words.append(f"peak {peak / 1e12:.0f} TFLOP/s" if peak else "peak not known, so no MFU")
  return [", ".join(word for word in words if word) + "."]


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
  lines = [list(head), ["---", *["---:"] * (len(head) - 1)], *rows]
  return ["| " + " | ".join(cells) + " |" for cells in lines]


def _checks(rows: Sequence[Mapping[str, Any]], machine: Mapping[str, Any]) -> list[str]:
  del machine
  exact = [
    [r["name"], dtype, f"{e['loss_error']:.1e}", f"{e['gradient_error']:.1e}", _kept(r)]
    for r in rows
    if r["check"] == "float32"
    for dtype, e in r["errors"].items()
  ]
  attention = [
    [r["name"], r["kernel"], f"{r['milliseconds']:.3f}", f"{r['error']:.1e}", _kept(r)]
    for r in rows
    if r["check"] == "attention"
  ]
  bits = [[r["name"], str(r["steps"]), _kept(r)] for r in rows if r["check"] == "bits"]
  return [
    "Relative errors of loss and gradient against float32 on the CPU:",
    "",
    *_rows(["model", "dtype", "loss", "gradient", "within limits"], exact),
    "",
    "Attention in bfloat16, forward and backward, and its error against einsum in float32:",
    "",
    *_rows(["case", "kernel", "ms", "error", "within limits"], attention),
    "",
    "All bits of the parameters after some deterministic steps, compiled twice:",
    "",
    *_rows(["model", "steps", "the same"], bits),
  ]


def _kept(row: Mapping[str, Any]) -> str:
  return "yes" if row["kept"] else "NO"


def _steps(rows: Sequence[Mapping[str, Any]], machine: Mapping[str, Any]) -> list[str]:
  head = ["model", "batch", "side", "ms a step", "ratio (range)", "MFU", "peak GB", "compile s"]
  cells = []
  for r in rows:
    for side, times in r["seconds"].items():
      seconds, about = statistics.median(times), r["about"][side]
      flops = r.get("flops") if side == OURS or "tokens" not in r else None
      ratio = _ratio(r) if side == OURS and "ratio" in r else ""
      cells.append(
        [
          r["model"],
          str(r["batch"]),
          _name(side, about),
          f"{seconds * 1e3:.1f}",
          ratio,
          _mfu(flops, seconds, machine),
          f"{about['peak_bytes'] / 1e9:.2f}",
          f"{about['compile_seconds']:.1f}",
        ]
      )
  goal = (
    f"Goals: ratios of at most {RATIO_GOAL}, an MFU of {MFU_GOAL:.0%} from 300 M parameters on."
  )
  return [_CONVENTION, "", goal, "", *_rows(head, cells)]


def _name(side: str, about: Mapping[str, Any]) -> str:
  if side == OURS:
    return "ours"
  return "torch.compile" if about["compiled"] else "PyTorch eager"


def _ratio(row: Mapping[str, Any]) -> str:
  low, high = row["range"]
  return f"{row['ratio']:.2f} ({low:.2f} to {high:.2f})"


def _mfu(flops: float | None, seconds: float, machine: Mapping[str, Any]) -> str:
  peak = machine.get("peak_flops")
  return f"{flops / seconds / peak:.1%}" if peak and flops else ""


def _generation(rows: Sequence[Mapping[str, Any]], machine: Mapping[str, Any]) -> list[str]:
  del machine
  head = ["batch", "ours, tokens/s", "transformers", "ratio (range)", "equal", "first call s"]
  cells = []
  for r in rows:
    first = " / ".join(f"{r['about'][s]['first_seconds']:.1f}" for s in (OURS, PEER))
    rates = [f"{r['tokens_per_second'][s]:.0f}" for s in (OURS, PEER)]
    cells.append([str(r["batch"]), *rates, _ratio(r), f"{r['equal_tokens']:.0%}", first])
  said = 'Higher is better; "equal" is the share of tokens before a prompt\'s first other one.'
  return [said, "", *_rows(head, cells)]


def _profiles(rows: Sequence[Mapping[str, Any]], machine: Mapping[str, Any]) -> list[str]:
  del machine
  lines: list[str] = []
  for r in rows:
    kinds = {side: found["account"] for side, found in r["accounts"].items()}
    cells = [
      [kind, *(f"{kinds[side][kind] * 1e3:.2f}" for side in (OURS, PEER))] for kind in kinds[OURS]
    ]
    lines += [f"{r['model']}, milliseconds a step by kind of operation:", ""]
    lines += [*_rows(["kind", "ours", "PyTorch"], cells), ""]
    for side in (OURS, PEER):
      longest = r["accounts"][side]["longest"]
      said = "; ".join(f"`{name[:60]}` {seconds * 1e3:.2f}" for name, seconds in longest[:8])
      lines += [f"Longest, {side}: {said}", ""]
  return lines[:-1]


def _sweep(rows: Sequence[Mapping[str, Any]], machine: Mapping[str, Any]) -> list[str]:
  # What is recomputed is no useful work: that of a row is known from steps that keep all.
  kept = [r for r in rows if r["remat"] == "none"]
  row_flops = (kept[0]["flops"] - kept[0]["unseen_flops"]) / kept[0]["batch"] if kept else 0
  cells = [
    [
      str(r["batch"]),
      r["remat"],
      f"{r['seconds'] * 1e3:.1f}",
      _mfu(row_flops * r["batch"], r["seconds"], machine),
      f"{r['peak_bytes'] / 1e9:.2f}",
    ]
    for r in rows
  ]
  count = rows[0]["num_parameters"]
  said = f"A GPT-2 of {count / 1e6:.0f} M parameters, rows of 1024, ours alone."
  return [said, "", *_rows(["batch", "remat", "ms a step", "MFU", "peak GB"], cells)]
