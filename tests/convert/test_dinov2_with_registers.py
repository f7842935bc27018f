import pytest
import their_folders

from pretrainjax.convert import dinov2, dinov2_with_registers
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields
from pretrainjax.errors import UserError

KIND = "Dinov2WithRegistersModel"
CONFIG = their_folders.DINOV2


@pytest.mark.parametrize("said, count", [({}, 4), ({"num_register_tokens": 2}, 2)])
def test_config_json_says_how_many_registers_there_are(said, count):
  recipes = dinov2_with_registers.read_config(Fields(CONFIG | said), KIND)
  assert recipes["backbone"].num_registers == count
  assert class_for(recipes)[:2] == (dinov2_with_registers, KIND)
  assert not dinov2.fits(recipes, "Dinov2Model")
  classifier = "Dinov2WithRegistersForImageClassification"
  assert dinov2_with_registers.read_config(Fields(CONFIG | said), classifier) == recipes
  assert not dinov2_with_registers.fits(recipes, classifier)
  written = dinov2_with_registers.write_config(recipes, KIND, Tokens())
  assert dinov2_with_registers.read_config(Fields(written), KIND) == recipes


def test_none_is_no_number_of_them():
  with pytest.raises(UserError, match="num_register_tokens: found 0"):
    dinov2_with_registers.read_config(Fields(CONFIG | {"num_register_tokens": 0}), KIND)
