"""A run made before a class gained an argument goes on."""

import binaries
from ml_collections import ConfigDict

from pretrainjax.config import spec
from pretrainjax.config.completed import completed
from pretrainjax.config.text import difference, flatten, load_config
from pretrainjax.data.text_data import TextData


def stored() -> ConfigDict:
  """A config without the argument `buckets`, as older code wrote it."""
  data = spec(TextData, datasets="sotu", batch_size=8, length=16)
  del data["buckets"]
  return ConfigDict({"seed": 3, "data": data, "evals": {"loss": {"parts": (data, 4)}}})


def test_what_a_class_has_gained_is_its_default():
  config = stored()
  found = completed(config)
  assert found.data.buckets == found.evals.loss.parts[0].buckets == 1
  assert found.data == spec(TextData, datasets="sotu", batch_size=8, length=16)
  assert "buckets" not in config.data, "the stored one stays as it is"
  assert [k for k in flatten(found) if k not in flatten(config)] == ["data.buckets"]


def test_a_new_config_is_complete():
  config = load_config(binaries.MAE)
  assert not difference(completed(config), config)


def test_what_may_not_be_named_stays():
  config = ConfigDict({"data": {"_target": "os:system", "command": "true"}, "other": {"a": None}})
  assert flatten(completed(config)) == flatten(config)
