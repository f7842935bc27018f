"""How benchmarks/weak_scaling.py goes on from what was measured."""

import importlib.util
from pathlib import Path

import pytest

from pretrainjax.benchmark.chips import find_chip
from pretrainjax.benchmark.mesh_report import MeshReport

FILE = Path(__file__).parents[1] / "benchmarks" / "weak_scaling.py"
CHIP = find_chip("h100")


@pytest.fixture(scope="module")
def weak_scaling():
  found = importlib.util.spec_from_file_location("weak_scaling", FILE)
  module = importlib.util.module_from_spec(found)
  found.loader.exec_module(module)
  return module


def exchange(kind, group, array_bytes):
  return {"kind": kind, "group": list(group), "count": 2, "array_bytes": array_bytes}


def report(num_devices):
  """Gradients of 80 MB within nodes of 8 and between them, and what grows with the devices."""
  return MeshReport(
    mesh={},
    num_params=1,
    rows=64,
    memory={"params": 1, "optimizer": 2, "extras": 0, "total": 4},
    kept=5,
    flops=1e12,
    collectives={},
    exchanges=[
      exchange("reduce-scatter", range(8), 80_000_000),
      exchange("all-reduce", range(0, num_devices, 8), 10_000_000),
      exchange("all-gather", range(num_devices), 1000 * num_devices),
      exchange("collective-permute", (num_devices - 1, 0), 1000 * num_devices),
      exchange("all-reduce", range(1), 99),
    ],
    compile_seconds=1.0,
  )


def test_each_kind_goes_on_in_its_own_way(weak_scaling):
  found = weak_scaling.rows_of({n: report(n) for n in (16, 32, 64)}, chip=CHIP, mfu=0.5)
  assert found["error"] == pytest.approx(0, abs=1e-12) and found["checked_at"] == 16
  rows = {row["num_devices"]: row for row in found["rows"]}
  assert [rows[n]["by"] for n in (64, 4096)] == ["program", "formula"]
  for n, row in rows.items():
    assert row["by_kind"] == pytest.approx(
      {
        "reduce-scatter": 7 / 8 * 80e6,
        "all-reduce": 2 * (n / 8 - 1) / (n / 8) * 10e6,
        "all-gather": (n - 1) / n * 1000 * n,
        "collective-permute": 1000 * n,
      }
    )
    seconds = 70e6 / CHIP.link
    seconds += (row["by_kind"]["all-reduce"] + 1000 * n) / CHIP.network
    seconds += row["by_kind"]["all-gather"] / (8 * CHIP.network)
    assert row["link_seconds"] == pytest.approx(seconds)
    assert row["compute_seconds"] == pytest.approx(2e12 / CHIP.peak)


def test_a_page_keeps_what_is_around_its_table(weak_scaling):
  begin, end = weak_scaling.MARKS
  page = weak_scaling.with_table(f"before\n{begin}\nold\n{end}\nafter\n", "new")
  assert page == f"before\n{begin}\n\nnew\n\n{end}\nafter\n"
  assert weak_scaling.with_table(page, "new") == page


def test_the_page_has_the_marks_and_the_models(weak_scaling):
  page = (FILE.parents[1] / "docs" / "scaling.md").read_text()
  assert [page.count(mark) for mark in weak_scaling.MARKS] == [1, 1]
  for name, (config, _) in weak_scaling.MODELS.items():
    assert name in page and (FILE.parents[1] / "configs" / f"{config}.py").is_file()
