from typing import NamedTuple

import pytest

from pretrainjax.models.sizes import named_size


class Size(NamedTuple):
  embed_dim: int


def test_a_name_is_its_arguments_and_a_misspelt_one_names_the_nearest():
  sizes = {"base": Size(8), "large": Size(16)}
  assert named_size("large", sizes) == {"embed_dim": 16}
  with pytest.raises(ValueError, match="size 'bas'; did you mean 'base'"):
    named_size("bas", sizes)
