"""Bytes that devices send each other in a step, with a fixed batch a device: 8 to 4,096 of them.

  python benchmarks/weak_scaling.py --out=runs/weak_scaling [--doc=docs/scaling.md]

Up to 64 devices are simulated: the real step is compiled for them and its exchanges are read from
the program. Beyond, each kind of exchange is carried on by formula: a straight line in the number
of devices through the two largest measurements, checked at the one before. docs/scaling.md says
what the table means.
"""

import argparse
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # where configs/ lies

from pretrainjax.benchmark.chips import Chip, bandwidth, find_chip  # noqa: E402
from pretrainjax.benchmark.collectives import ring_factor  # noqa: E402
from pretrainjax.benchmark.mesh_report import MeshReport  # noqa: E402
from pretrainjax.benchmark.simulate import report_meshes  # noqa: E402
from pretrainjax.config.text import load_config  # noqa: E402
from pretrainjax.report.table import markdown_table  # noqa: E402

# Config, and rows of the batch that each device has.
MODELS = {
  "MAE ViT-L/16": ("pretrain/image/mae_vit_l16_imagenet", 64),
  "SimCLR ViT-B/16": ("pretrain/image/simclr_vit_b16_imagenet", 64),
  "Llama 1.2 B": ("pretrain/text/llama_1b", 4),
}
# "fsdp" devices share a copy of the state, as many as a node has; "data" copies there are.
MESHES = {"data": 1, "fsdp 8 x data": 8}
FORMULA = (256, 1024, 4096)
# Of the page, what lies between is written anew.
MARKS = ("<!-- weak_scaling: begin -->", "<!-- weak_scaling: end -->")


class Kind(NamedTuple):
  """Exchanges that go on in the same way with more devices.

  Attributes:
    kind: of `collectives.KINDS`.
    stride: between neighbours of a group.
    size: of a group where it stays; 0 where it grows with the devices; -1 is a ring of pairs.
  """

  kind: str
  stride: int
  size: int

  def group(self, num_devices: int) -> list[int]:
    """The first group among so many devices."""
    if self.size == -1:
      return [0, num_devices - 1]
    size = self.size or num_devices // self.stride
    return [i * self.stride for i in range(size)]


def main() -> None:
  """Writes OUT/weak_scaling.json and prints the table."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--out", required=True, type=Path, help="folder for the results")
  parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
  parser.add_argument("--devices", nargs="+", type=int, default=[8, 16, 32, 64])
  parser.add_argument("--chip", default="h100", help="whose peak and links bound a step")
  parser.add_argument("--doc", type=Path, help="a page whose table is written anew")
  parser.add_argument("--mfu", type=float, default=0.4, help="share of the peak that is assumed")
  flags = parser.parse_args()
  flags.out.mkdir(parents=True, exist_ok=True)
  chip = find_chip(flags.chip)
  results = []
  for name in flags.models:
    for mesh, fsdp in MESHES.items():
      reports = measure(name, fsdp=fsdp, devices=sorted(flags.devices))
      results.append({"model": name, "mesh": mesh, **rows_of(reports, chip=chip, mfu=flags.mfu)})
  report = {"machine": platform.machine(), "arguments": sys.argv[1:], "results": results}
  (flags.out / "weak_scaling.json").write_text(json.dumps(report, indent=2) + "\n")
  text = table(results, chip_name=flags.chip, mfu=flags.mfu)
  print(text)
  if flags.doc:
    flags.doc.write_text(with_table(flags.doc.read_text(), text))


def with_table(page: str, text: str) -> str:
  """The page with another text between its marks."""
  before, rest = page.split(MARKS[0])
  return "\n".join([before + MARKS[0], "", text, "", MARKS[1]]) + rest.split(MARKS[1])[1]


def measure(name: str, *, fsdp: int, devices: Sequence[int]) -> dict[int, MeshReport]:
  """The report of the model's step on each number of devices."""
  file, rows = MODELS[name]
  found = {}
  for count in devices:
    config = load_config(str(ROOT / "configs" / f"{file}.py"))
    config.data.batch_size = rows * count
    mesh = {"data": count // fsdp, "fsdp": fsdp, "tensor": 1, "context": 1}
    (found[count],) = report_meshes(config, [mesh], num_devices=count)
    if not isinstance(found[count], MeshReport):
      raise found[count]
    seconds = found[count].compile_seconds
    print(f"{name}, {count} devices, fsdp={fsdp}: {seconds:.0f} s", file=sys.stderr, flush=True)
  return found


def rows_of(reports: Mapping[int, MeshReport], *, chip: Chip, mfu: float) -> dict[str, Any]:
  """Measured rows, and those by formula with their error at the number that was left out."""
  counts = sorted(reports)
  measured = {n: by_kind_of_group(reports[n].exchanges, n) for n in counts}
  rows = []
  for n in counts:
    rows.append(_row(n, measured[n], reports[n].flops, chip=chip, mfu=mfu) | {"by": "program"})
  if len(counts) < 2:
    return {"rows": rows}
  low, high = counts[-2:]
  flops = {n: {"flops": reports[n].flops} for n in counts}
  for n in FORMULA:
    row = _row(
      n,
      carried_on(measured, n, low, high),
      carried_on({m: {"all": flops[m]} for m in counts}, n, low, high)["all"]["flops"],
      chip=chip,
      mfu=mfu,
    )
    rows.append(row | {"by": "formula"})
  state = {"state_bytes": reports[high].state_bytes, "memory": reports[high].memory}
  check = {}
  if len(counts) > 2:
    check = {"checked_at": counts[-3]}
    guess = _row(counts[-3], carried_on(measured, counts[-3], low, high), 1, chip=chip, mfu=mfu)
    real = next(row for row in rows if row["num_devices"] == counts[-3])
    check["error"] = guess["wire_bytes"] / real["wire_bytes"] - 1
  return {"rows": rows, **state, **check, "kept": reports[high].kept}


def by_kind_of_group(
  exchanges: Sequence[Mapping[str, Any]], num_devices: int
) -> dict[Kind, dict[str, float]]:
  """Counts and bytes of arrays by how the exchange goes on with more devices."""
  totals: dict[Kind, dict[str, float]] = {}
  for row in exchanges:
    group = row["group"]
    if len(group) < 2:
      continue
    stride = group[1] - group[0]
    grows = len(group) * stride == num_devices
    kind = Kind(row["kind"], stride, 0 if grows else len(group))
    if row["kind"] == "collective-permute":
      kind = Kind(row["kind"], 1, -1)
    total = totals.setdefault(kind, {"count": 0, "array_bytes": 0})
    for name in total:
      total[name] += row[name]
  return totals


def carried_on(
  measured: Mapping[int, Mapping[Any, Mapping[str, float]]], num_devices: int, low: int, high: int
) -> dict[Any, dict[str, float]]:
  """Values on a straight line through those at `low` and `high` devices."""
  assert measured[low].keys() == measured[high].keys(), "exchanges differ in kind"
  share = (num_devices - low) / (high - low)
  return {
    kind: {
      name: value + share * (measured[high][kind][name] - value) for name, value in values.items()
    }
    for kind, values in measured[low].items()
  }


def _row(
  num_devices: int,
  kinds: Mapping[Kind, Mapping[str, float]],
  flops: float,
  *,
  chip: Chip,
  mfu: float,
) -> dict[str, Any]:
  sent: dict[str, float] = {}
  seconds = 0.0
  for kind, total in kinds.items():
    group = kind.group(num_devices)
    wire = total["array_bytes"] * ring_factor(kind.kind, len(group))
    sent[kind.kind] = sent.get(kind.kind, 0.0) + wire
    seconds += wire / bandwidth(group, chip)
  return {
    "num_devices": num_devices,
    "wire_bytes": sum(sent.values()),
    "by_kind": sent,
    "count": sum(total["count"] for total in kinds.values()),
    "link_seconds": seconds,
    "flops": flops,
    "compute_seconds": flops / (mfu * chip.peak),
  }


def table(results: Sequence[Mapping[str, Any]], *, chip_name: str, mfu: float) -> str:
  """All rows as a table, and what holds for all numbers of devices."""
  kinds = ("all-reduce", "reduce-scatter", "all-gather", "collective-permute", "all-to-all")
  kinds = [k for k in kinds if any(k in row["by_kind"] for r in results for row in r["rows"])]
  body = []
  for result in results:
    for row in result["rows"]:
      share = row["link_seconds"] / row["compute_seconds"]
      body.append(
        (
          result["model"],
          result["mesh"],
          f"{row['num_devices']:,}",
          row["by"],
          *(f"{row['by_kind'].get(kind, 0) / 1e6:,.1f}" for kind in kinds),
          f"{row['wire_bytes'] / 1e6:,.1f}",
          f"{row['count']:,.0f}",
          f"{1000 * row['link_seconds']:.2f}",
          f"{1000 * row['compute_seconds']:.1f}",
          f"{share * MODELS[result['model']][1]:.1f}",
        )
      )
  header = ("model", "mesh", "devices", "by", *kinds, "sent, MB", "exchanges")
  header = (*header, "links, ms", "compute, ms", "even at, rows")
  lines = [markdown_table(header, body, right=(2, *range(4, len(header)))), ""]
  lines.append(f"Times: {chip_name}, links at full rate, compute at {mfu:.0%} of the peak.")
  return "\n".join([*lines, *(f"- {_facts(r)}" for r in results if "error" in r)])


def _facts(result: Mapping[str, Any]) -> str:
  rows, gib = MODELS[result["model"]][1], 2**30
  return (
    f"{result['model']}, {result['mesh']}, {rows} rows a device: state "
    f"{result['state_bytes'] / gib:.2f} GiB, kept for the backward pass {result['kept'] / gib:.1f} "
    f"GiB, whole step as compiled for CPUs {result['memory']['total'] / gib:.1f} GiB a device; at "
    f"{result['checked_at']} devices the formula is off by {result['error']:+.2%}."
  )


if __name__ == "__main__":
  main()
