"""One device computes what eight do; in a process of its own."""

from pathlib import Path

import pytest
import simulated


@pytest.mark.repeat
def test_one_device_equals_eight_pmapped_and_eight_sharded():
  simulated.run_on_devices(Path(__file__).with_name("on_eight_devices.py"))
