"""Plans the memory that a run needs on each device: `benchmark plan --config=FILE`.

Nothing is computed and no data is read: the real training step is compiled for shapes.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict
from tqdm import tqdm

from pretrainjax.benchmark.chips import CHIPS, Chip, find_chip
from pretrainjax.benchmark.mesh_report import MeshReport
from pretrainjax.benchmark.output import add_output_flags, gib, write_json
from pretrainjax.benchmark.simulate import Refusal, has_devices, report_meshes
from pretrainjax.command import Request
from pretrainjax.config.objects import build
from pretrainjax.errors import UserError
from pretrainjax.report.table import markdown_table
from pretrainjax.train.mesh import Axes

# Rows of text from which on the axis "context" is worth a look.
_LONG = 2048


class Row(NamedTuple):
  """One mesh of the plan, with its report.

  Attributes:
    axes: sizes of its axes.
    found: its report, or why there is none.
  """

  axes: dict[str, int]
  found: MeshReport | Refusal


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `benchmark plan`."""
  parser.add_argument("--devices", type=int, metavar="N", help="how many; those that are here")
  parser.add_argument(
    "--chip", default="h100", metavar="NAME", help=f"that must hold it: {', '.join(CHIPS)}"
  )
  parser.add_argument(
    "--memory_share", type=float, default=0.9, metavar="SHARE", help="of it for the program"
  )
  parser.add_argument("--chosen_only", action="store_true", help="leave the alternatives out")
  add_output_flags(parser)


def work(request: Request) -> None:
  """Runs `benchmark plan`: compiles the step on each mesh and prints the table."""
  options, chip = request.options, find_chip(request.options.chip)
  num_devices = jax.device_count() if options.devices is None else options.devices
  if num_devices < 1:
    raise UserError(f"--devices: found {num_devices}, expected at least 1")
  if not 0 < options.memory_share <= 1:
    raise UserError(f"--memory_share: found {options.memory_share}, expected in (0, 1]")
  meshes = candidate_meshes(request.config, num_devices)[: 1 if options.chosen_only else None]
  rows = _compile_rows(request.config, meshes, num_devices=num_devices)
  chosen = rows[0].found
  if not isinstance(chosen, MeshReport):
    raise chosen
  usable = options.memory_share * chip.memory_bytes
  print(plan_text(rows, chip_name=options.chip, usable=usable, num_devices=num_devices))
  write_json(options.json, plan_json(rows, chip=chip, usable=usable, num_devices=num_devices))


def candidate_meshes(config: ConfigDict, num_devices: int) -> list[dict[str, int]]:
  """The meshes that the plan compares, the config's own first.

  Args:
    config: the config of a run.
    num_devices: the number of devices of each mesh.

  Raises:
    UserError: where the config's own does not make so many devices.
  """
  parallel = config.get("parallel", ConfigDict())
  axes = build(parallel.mesh, path="config.parallel.mesh") if "mesh" in parallel else Axes()
  found = [axes.sizes(num_devices)]
  if parallel.get("mode") == "pmap":
    return found
  others = [Axes()]
  for fsdp in (n for n in range(2, num_devices + 1) if num_devices % n == 0):
    # Powers of two, and all devices.
    if fsdp & (fsdp - 1) == 0 or fsdp == num_devices:
      others.append(Axes(fsdp=fsdp))
  if num_devices % 2 == 0 and num_devices > 2:
    others.append(Axes(fsdp=num_devices // 2, tensor=2))
    if config.data.get("length", 0) >= _LONG:
      others.append(Axes(fsdp=num_devices // 2, context=2))
  for sizes in (a.sizes(num_devices) for a in others):
    if sizes not in found:
      found.append(sizes)
  return found


def _compile_rows(
  config: ConfigDict, meshes: Sequence[dict[str, int]], *, num_devices: int
) -> list[Row]:
  """Compiles the step for each mesh, with a bar on a terminal."""
  reports = report_meshes(config, meshes, num_devices=num_devices)
  bar = tqdm(
    zip(meshes, reports, strict=True),
    total=len(meshes),
    unit="mesh",
    desc="compiling",
    file=sys.stderr,
    disable=None,  # where it is no terminal
  )
  rows = []
  for axes, found in bar:
    rows.append(Row(dict(axes), found))
    if len(rows) == 1 and not isinstance(found, MeshReport):
      break  # the config's own: nothing else is of use
  return rows


def fits(report: MeshReport, usable: int | float) -> str:
  """Whether a step fits in the memory of a device: "yes", "no", or "perhaps".

  Args:
    report: the report of the mesh.
    usable: the bytes of a device's memory that programs get.

  Returns:
    "perhaps" where the compiled program does not fit, but state, gradients and what the backward
    pass needs do: a compiler that keeps bfloat16 and fuses attention may get by.
  """
  if report.memory["total"] <= usable:
    return "yes"
  least = report.state_bytes + report.memory["params"] + report.kept
  return "perhaps" if least <= usable else "no"


def plan_text(rows: Sequence[Row], *, chip_name: str, usable: int | float, num_devices: int) -> str:
  """The plan as a table, one mesh a row, with notes.

  Args:
    rows: the meshes with their reports.
    chip_name: the name of the chip that the plan is for.
    usable: the bytes of a device's memory that programs get.
    num_devices: the number of devices of each mesh.
  """
  chosen = rows[0].found
  reports = {mesh_name(row.axes): row.found for row in rows}
  good = [n for n, r in reports.items() if isinstance(r, MeshReport) and fits(r, usable) == "yes"]
  simulated = not has_devices(num_devices)
  lines = [
    f"{chosen.num_params:,} parameters, {chosen.rows} rows a device, "
    f"{chosen.flops / 1e12:.3g} TFLOP a step and device; GiB on each of {num_devices} devices "
    f"({chip_name}: {gib(usable)} usable):",
    "",
    markdown_table(_HEADER, [_cells(row, usable) for row in rows], right=range(1, 10)),
    "",
    *(f"{n}: {_reason(r)}: {r}" for n, r in reports.items() if not isinstance(r, MeshReport)),
    f"fits {chip_name}: {', '.join(good) if good else 'no mesh for certain'}",
  ]
  return "\n".join(lines + _notes(simulated=simulated, fits=mesh_name(rows[0].axes) in good))


def mesh_name(axes: dict[str, int]) -> str:
  """The axes of a mesh that are longer than 1, such as "data=2 fsdp=4"."""
  return " ".join(f"{k}={v}" for k, v in axes.items() if v > 1) or "one device"


def plan_json(
  rows: Sequence[Row], *, chip: Chip, usable: int | float, num_devices: int
) -> dict[str, Any]:
  """The plan as plain values for a JSON file.

  Args:
    rows: the meshes with their reports.
    chip: the chip that the plan is for.
    usable: the bytes of a device's memory that programs get.
    num_devices: the number of devices of each mesh.
  """
  meshes = []
  for axes, found in rows:
    if not isinstance(found, MeshReport):
      meshes.append({"mesh": axes, _reason(found): str(found)})
    else:
      more = {"wire_bytes": found.wire_bytes, "fits": fits(found, usable)}
      meshes.append(dataclasses.asdict(found) | more)
  return {
    "num_devices": num_devices,
    "simulated": not has_devices(num_devices),
    "backend": "cpu" if not has_devices(num_devices) else jax.default_backend(),
    "chip": chip._asdict(),
    "usable_bytes": usable,
    "meshes": meshes,
  }


_HEADER = (
  "mesh",
  "parameters",
  "optimizer",
  "rest of state",
  "temporaries",
  "total",
  "traced",
  "sent a step",
  "compiled in",
  "fits",
)


def _cells(row: Row, usable: int | float) -> tuple[str, ...]:
  name, found = mesh_name(row.axes), row.found
  if not isinstance(found, MeshReport):
    return (name, *("-" for _ in range(8)), _reason(found))
  memory = found.memory
  return (
    name,
    *(gib(memory[key]) for key in ("params", "optimizer", "extras", "temporaries", "total")),
    gib(found.kept),
    gib(found.wire_bytes),
    f"{found.compile_seconds:.0f} s",
    fits(found, usable),
  )


def _reason(refusal: Refusal) -> str:
  """The word for a mesh without a report: "refused" by us, or "failed"."""
  return "refused" if isinstance(refusal, UserError) else "failed"


def _notes(*, simulated: bool, fits: bool) -> list[str]:
  notes = [
    "total: arguments, results not written over them, and temporaries, of the compiled step.",
    "traced: what the backward pass needs, in the config's own types, whatever compiles it (cut",
    "  by rows alone). perhaps: state, gradients and this fit, the compiled step does not.",
    "sent a step: bytes by a ring, read from the program.",
  ]
  if simulated:
    notes += [
      "Devices are simulated: temporaries are those of XLA's CPU compiler, which computes bfloat16",
      "  in float32 and fuses less than those for GPU and TPU: an estimate, rather too high.",
    ]
  if not fits:
    notes += [
      "Less memory on the same mesh: --config.train.accumulate=N keeps 1/N of the activations;",
      "  remat='full' of a network keeps the inputs of its blocks alone.",
    ]
  return ["", *notes]
