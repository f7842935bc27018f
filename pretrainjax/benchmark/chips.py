"""Chips by name: their memory, peak FLOP/s, and the bandwidth between them."""

import collections
from collections.abc import Sequence
from typing import NamedTuple

from pretrainjax.errors import UserError, nearest
from pretrainjax.train.flops import peak_flops


class Chip(NamedTuple):
  """The figures of one jax device, as its maker gives them.

  Attributes:
    memory_gib: the memory in GiB, as the maker gives it; programs get a little less.
    kind: the name that `jax.Device.device_kind` gives, in lower case.
    link: bytes/s that the device sends to the devices of its node or slice.
    network: bytes/s that are the device's share of the node's network.
    node: the number of devices that `link` joins.
  """

  memory_gib: int | float
  kind: str
  link: float
  network: float
  node: int

  @property
  def memory_bytes(self) -> float:
    """The memory in bytes."""
    return float(self.memory_gib * 2**30)

  @property
  def peak(self) -> float:
    """The peak in dense bfloat16 FLOP/s, see `peak_flops`."""
    peak = peak_flops(self.kind)
    assert peak is not None, self.kind
    return peak


# Makers give links both ways together: here is half. GPUs: NVIDIA's data sheets of the SXM boards;
# networks are those of the DGX of the same chip (its user guide), one adapter a GPU. L4 and A10G
# have PCIe 4.0 x16 alone; networks are those of the largest machines at AWS and Google. Memory of
# GPUs is what the data sheet calls GB (stacks are made in GiB; ECC and driver take 1 to 2 %).
# TPUs: the chip's page in Google Cloud's documentation ("HBM capacity", "bidirectional ICI
# bandwidth per chip", data center network by chip); a slice is one node.
CHIPS = {
  "b200": Chip(180, "nvidia b200", 900e9, 50e9, 8),  # NVLink 1.8 TB/s; 8 x 400 Gb/s
  "h200": Chip(141 * 1e9 / 2**30, "nvidia h200", 450e9, 50e9, 8),  # 141 GB; as h100
  "h100": Chip(80, "nvidia h100", 450e9, 50e9, 8),  # NVLink 900 GB/s; 8 x 400 Gb/s
  "a100": Chip(80, "nvidia a100", 300e9, 25e9, 8),  # NVLink 600 GB/s; 8 x 200 Gb/s
  "a100-40gb": Chip(40, "nvidia a100", 300e9, 25e9, 8),
  "v100": Chip(32, "tesla v100", 150e9, 6.25e9, 8),  # NVLink 300 GB/s; 4 x 100 Gb/s for 8
  "l4": Chip(24, "nvidia l4", 32e9, 1.56e9, 8),  # g2-standard-96: 100 Gb/s for 8
  "a10g": Chip(24, "nvidia a10g", 32e9, 1.56e9, 8),  # g5.48xlarge: 100 Gb/s for 8
  "v6e": Chip(32, "tpu v6e", 400e9, 12.5e9, 256),  # 800 GB/s; 100 Gb/s a chip
  "v5p": Chip(95, "tpu v5p", 600e9, 6.25e9, 6144),  # 1200 GB/s; 50 Gb/s a chip
  "v5e": Chip(16, "tpu v5e", 200e9, 3.125e9, 256),  # 400 GB/s; 2 x 100 Gb/s for 8
}


def find_chip(name: str) -> Chip:
  """Finds a chip by its name in CHIPS.

  Raises:
    UserError: for a name that is none.
  """
  if name not in CHIPS:
    raise UserError(f"--chip: found '{name}'{nearest(name, CHIPS)}")
  return CHIPS[name]


def bandwidth(group: Sequence[int], chip: Chip) -> float:
  """The bytes/s that a device of a ring can send.

  A ring that leaves its nodes has one way out of a node for each of its devices there (collective
  libraries lay so many rings), and is no faster than the links within.

  Args:
    group: numbers of the ring's devices; neighbours in number share a node.
    chip: the chip that all devices are.
  """
  nodes = collections.Counter(device // chip.node for device in group)
  if len(nodes) < 2:
    return chip.link
  return min(chip.link, chip.network * min(nodes.values()))
