"""How benchmarks/item_catalogue.py writes down what it measured."""

import importlib.util
from pathlib import Path

FILE = Path(__file__).parents[2] / "benchmarks" / "item_catalogue.py"


def test_bytes_and_seconds_stand_in_a_table():
  found = importlib.util.spec_from_file_location("item_catalogue", FILE)
  module = importlib.util.module_from_spec(found)
  found.loader.exec_module(module)
  rows = [module.Row(1_000_000, 256_000_000, 2_000_000_000, 2_500_000_000, 1.234)]
  last = module.table(rows).splitlines()[-1]
  assert [cell.strip() for cell in last.strip("|").split("|")] == [
    "1,000,000",
    "0.26 GB",
    "2.00 GB",
    "2.50 GB",
    "1.23 s",
  ]
