"""That the check opens no network; its refusals are in autoregressive/test_next_item.py."""

import interactions
import item_objectives as tiny

from pretrainjax.data.item_data import ItemData
from pretrainjax.objectives.catalogue_check import check_catalogue


def test_a_catalogue_of_a_hundred_million_is_checked_without_an_array(tmp_path):
  many = 10**8
  interactions.write_interactions(
    tmp_path / "log", {"train": [[1, 2]]}, num_items=2, facts={"num_items": many}
  )
  options = {"datasets": "log", "data_dir": str(tmp_path), "batch_size": 2, "length": tiny.LENGTH}
  check_catalogue(tiny.transformer(num_items=many), ItemData(next_item=True, **options))
