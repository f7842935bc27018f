"""What stored configs may still name is somewhere today."""

import pytest

from pretrainjax.config.allowed import resolve
from pretrainjax.config.moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_a_new_name_can_be_built(old):
  assert resolve(MOVED[old], "config").__name__ == MOVED[old].partition(":")[2]
