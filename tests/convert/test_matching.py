import numpy as np
import pytest

from pretrainjax.convert.family import Table
from pretrainjax.convert.matching import arrays_of, match
from pretrainjax.convert.table import SAME, Rule
from pretrainjax.errors import UserError

ONES = np.ones(2)
TABLE = Table(
  rules=(Rule("table", "table", SAME), Rule("bias", "bias", SAME)),
  plain=lambda name: name.removeprefix("model."),
  copies={"decoder.weight": "table", "decoder.bias": "bias"},
  buffers=(r"position_ids$",),
  others=(r"^pooler\.",),
  constants={"waves": np.arange(2.0)},
  fillers={"mask": np.zeros(1)},
)
STORED = {"model.table": ONES, "bias": ONES, "waves": np.arange(2.0)}


def read(tensors):
  return arrays_of(TABLE, match(TABLE, tensors), tensors, wanted={"table": (2,), "bias": (2,)})


def test_tensors_are_told_apart_by_their_names():
  more = ("model.position_ids", "pooler.weight", "mask", "decoder.weight")
  found = match(TABLE, (*STORED, *more))
  assert found.named == {"table": "model.table", "bias": "bias"}
  assert found.tied == {"decoder.weight": "model.table"}
  assert list(found.fixed) == ["waves"] and found.fillers == {"mask": "mask"}
  assert found.left == ("pooler.weight",)


def test_what_the_rules_know_is_not_left():
  pooler = Rule("pooler", "pooler.weight", SAME)
  found = match(TABLE._replace(rules=(*TABLE.rules, pooler)), (*STORED, "pooler.weight"))
  assert found.left == () and found.named["pooler.weight"] == "pooler.weight"


def test_copies_are_left_out_if_they_are_copies():
  copied = STORED | {"decoder.weight": ONES}
  assert set(read(copied)) == {"table", "bias"}
  with pytest.raises(UserError, match="decoder.weight is not tied to model.table"):
    read(copied | {"model.table": np.zeros(2)})


def test_a_copy_stands_in_for_what_is_not_there():
  found = read({"decoder.weight": ONES * 3, "bias": ONES, "waves": np.arange(2.0)})
  np.testing.assert_array_equal(found["table"], ONES * 3)


def test_what_is_fixed_must_be_there_and_what_it_is():
  with pytest.raises(UserError, match="missing tensors waves"):
    match(TABLE, ("table", "bias"))
  for wrong in (np.zeros(2), np.arange(3.0)):
    with pytest.raises(UserError, match="waves is not the fixed sine-cosine table"):
      read(STORED | {"waves": wrong})


def test_two_names_of_one_tensor_are_refused():
  with pytest.raises(UserError, match="tensors model.table and table are both table"):
    match(TABLE, (*STORED, "table"))
