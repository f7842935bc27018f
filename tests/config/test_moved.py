"""Old names lead to classes that are there and may be built."""

import pytest

from pretrainjax.config.allowed import resolve
from pretrainjax.config.moved import MOVED, today


@pytest.mark.parametrize("old", MOVED)
def test_new_names_are_there(old):
  assert resolve(today(old), "config").__name__ == MOVED[old].partition(":")[2]
