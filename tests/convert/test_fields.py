import math

import pytest

from pretrainjax.convert.fields import Fields, rope_theta, their_activation
from pretrainjax.errors import UserError


@pytest.mark.parametrize("value", [0, -1, 1 << 31, 2.0, "3", True, [1], math.nan])
def test_sizes_are_whole_numbers_within_reason(value):
  with pytest.raises(UserError, match="config.json: n: found .*expected a whole number"):
    Fields({"n": value}).integer("n")


def test_what_is_null_or_missing_takes_the_default():
  fields = Fields({"n": None})
  assert fields.integer("n", 3) == 3 and fields.number("m", 0.5) == 0.5
  with pytest.raises(UserError, match="config.json: n is missing"):
    fields.integer("n")


@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan, "0.1", True])
def test_numbers_are_finite_and_in_range(value):
  with pytest.raises(UserError, match="expected a number"):
    Fields({"eps": value}).number("eps")
  with pytest.raises(UserError, match="rate in"):
    Fields({"p": 1}).rate("p")


def test_what_ours_cannot_be_is_refused_by_name():
  fields = Fields({"kind": "relative", "act": "mish", "on": 1})
  with pytest.raises(UserError, match="kind: found 'relative', expected 'absolute'"):
    fields.must_be("kind", "absolute")
  with pytest.raises(UserError, match="act: found 'mish', expected what ours can be"):
    fields.activation("act", "gelu")
  with pytest.raises(UserError, match="on: found 1, expected true or false"):
    fields.flag("on", True)
  fields.must_be("other", "absolute")


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "quick_gelu", "relu", "silu", "tanh"])
def test_activations_come_back(name):
  assert Fields({"act": their_activation(name)}).activation("act", "relu") == name


def test_rotary_bases_of_both_versions():
  how = {"default": 10.0, "old": "rope_theta"}
  assert rope_theta(Fields({}), **how) == 10
  assert rope_theta(Fields({"rope_theta": 5}), **how) == 5
  new = {"rope_parameters": {"rope_type": "default", "rope_theta": 7.0}}
  assert rope_theta(Fields(new), **how) == 7
  kinds = {"rope_parameters": {"full_attention": {"rope_theta": 3.0}}}
  assert rope_theta(Fields(kinds), "full_attention", **how) == 3
  for stretched in (
    {"rope_parameters": {"rope_type": "llama3", "rope_theta": 7.0}},
    {"rope_scaling": {"type": "linear", "factor": 2.0}},
  ):
    with pytest.raises(UserError, match="expected"):
      rope_theta(Fields(stretched), **how)


def test_rates_that_differ_are_told_and_the_largest_is_taken(caplog):
  fields = Fields({"resid_pdrop": 0.3, "embd_pdrop": 0.125})
  assert fields.one_rate("resid_pdrop", "embd_pdrop", default=0.1) == 0.3
  said = "ours has one rate for resid_pdrop 0.3, embd_pdrop 0.125: 0.3 is taken"
  assert said in caplog.text
  caplog.clear()
  assert Fields({"resid_pdrop": 0.1}).one_rate("resid_pdrop", "embd_pdrop", default=0.1) == 0.1
  fields.no_rate("attn_pdrop")
  assert not caplog.records
  fields.no_rate("resid_pdrop")
  assert "resid_pdrop: found 0.3, ours has none there: 0 is taken" in caplog.text


def test_lists_of_sizes():
  assert Fields({"depths": [2, 3]}).integers("depths") == (2, 3)
  assert Fields({}).integers("depths", (1,)) == (1,)
  for broken in ([], [0], [1.0], [True], 3, "12"):
    with pytest.raises(UserError, match="depths: found .*, expected a list of whole numbers"):
      Fields({"depths": broken}).integers("depths")
