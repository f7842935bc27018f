"""The table of chips."""

import pytest

from pretrainjax.benchmark.chips import CHIPS, bandwidth, find_chip
from pretrainjax.errors import UserError


@pytest.mark.parametrize("name", CHIPS)
def test_every_chip_has_a_peak_and_sane_links(name):
  chip = find_chip(name)
  assert chip.peak > 1e13
  assert 16 <= chip.memory_gib <= 200
  assert chip.network < chip.link < chip.memory_bytes * 100


def test_an_unknown_chip_is_refused():
  with pytest.raises(UserError, match="--chip: found 'h10'; did you mean 'h100'"):
    find_chip("h10")


def test_a_ring_that_leaves_the_node_goes_by_its_network():
  chip = find_chip("h100")
  assert bandwidth(range(8), chip) == chip.link
  assert bandwidth(range(0, 64, 8), chip) == chip.network, "one device a node has one adapter"
  assert bandwidth(range(4, 12), chip) == 4 * chip.network
  assert bandwidth(range(64), chip) == min(chip.link, 8 * chip.network)
