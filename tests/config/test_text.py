"""Config files, flags and JSON."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict

from pretrainjax.checkpoint.manager import Keep
from pretrainjax.config import recipe, spec
from pretrainjax.config.text import difference, flatten, from_json, load_config, override, to_json
from pretrainjax.errors import UserError
from pretrainjax.models.gpt import GPT


def _config() -> ConfigDict:
  return ConfigDict(
    {"keep": spec(Keep), "rate": 1e-3, "scale": (0.2, 1.0), "name": "x", "flag": True, "n": 3}
  )


@pytest.mark.parametrize(
  ("key", "text", "value"),
  [
    ("rate", "3e-4", 3e-4),
    ("rate", "1", 1.0),
    ("scale", "(0.5, 1)", (0.5, 1)),
    ("scale", "0.5,1", (0.5, 1)),
    ("scale", "0.5", (0.5,)),
    ("name", "7", "7"),
    ("name", "a b", "a b"),
    ("flag", "false", False),
    ("keep.metric", "knn/top1", "knn/top1"),
    ("keep.metric", "(1,2)", "(1,2)"),
    ("keep.metric", "'none'", "none"),
    ("keep.last", "4", 4),
  ],
)
def test_override(key, text, value):
  config = _config()
  override(config, key, text)
  assert flatten(config)[key] == value


@pytest.mark.parametrize(
  ("key", "text", "message"),
  [
    ("keep.lst", "3", "config.keep has no key 'lst'; did you mean 'last'"),
    ("kep.last", "3", "config has no key 'kep'; did you mean 'keep'"),
    ("keep._target", "os:system", "has no key '_target'"),
    ("rate.x", "3", "config.rate has no key 'x'"),
    ("rate", "fast", r"found 'fast' \(str\), expected float"),
    ("n", "1.5", r"found '1.5' \(float\), expected int"),
    ("flag", "3", r"expected bool"),
    ("keep", "3", "expected a flag of its own for each of last, best, metric, mode"),
    ("keep.last", "none", r"found 'none' \(NoneType\), expected int"),
    ("keep.last", "0", r"found '0' \(int\), expected at least 1"),
    ("", "3", "has no key ''"),
  ],
)
def test_bad_overrides_say_what_is_wrong(key, text, message):
  with pytest.raises(UserError, match=message) as caught:
    override(_config(), key, text)
  assert "\n" not in str(caught.value)


def test_json_round_trip_keeps_tuples_order_and_types():
  config = _config()
  again = from_json(to_json(config))
  assert to_json(again) == to_json(config)
  assert again.scale == (0.2, 1.0)
  with pytest.raises(TypeError):
    again.keep.metric = 3
  assert difference(config, again) == []


_name = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=5)
_plain = st.recursive(
  st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
  lambda inner: st.tuples(inner, inner) | st.dictionaries(_name, inner, max_size=3),
  max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a machine that does other work too
@given(st.dictionaries(_name, _plain, max_size=4))
def test_json_round_trip_of_anything_plain(values):
  config = ConfigDict(values, convert_dict=True)
  assert to_json(from_json(to_json(config))) == to_json(config)


def test_difference_names_keys():
  other = _config()
  other.rate = 0.5
  assert difference(_config(), other) == ["rate: 0.001 -> 0.5"]


def test_load_config(tmp_path):
  file = tmp_path / "mine.py"
  file.write_text(
    "from ml_collections import ConfigDict\n"
    "def get_config(arg=None):\n  return ConfigDict({'a': 1, 'arg': arg or 'none'})\n"
  )
  assert load_config(f"{file}:smoke", {"a": "2"}).to_dict() == {"a": 2, "arg": "smoke"}
  with pytest.raises(UserError, match="no file .*did you mean 'mine.py'"):
    load_config(str(tmp_path / "mien.py"))
  (tmp_path / "empty.py").write_text("")
  with pytest.raises(UserError, match="defines no get_config"):
    load_config(str(tmp_path / "empty.py"))


def test_none_is_a_word_where_it_is_one_of_a_choice():
  sizes = {"vocab_size": 5, "max_length": 4, "embed_dim": 4, "mlp_dim": 4}
  config = ConfigDict({"model": recipe(GPT, **sizes, num_layers=1, num_heads=1)})
  override(config, "model.remat", "none")
  assert config.model.remat == "none"
  config.model.remat = "full"
  override(config, "model.remat", "none")
  assert config.model.remat == "none"
  keep = ConfigDict({"keep": spec(Keep, metric="knn/top1")})
  override(keep, "keep.metric", "none")
  assert keep.keep.metric is None


@pytest.mark.parametrize(
  "text",
  [
    "",
    "[]",
    "3",
    "null",
    '"x"',
    "{",
    '{"a": ' * 5000,
    "[" * 100_000,
    '{"a": {"b": ' * 40 + "1",
    '{"_tuple": 3}',
    '{"_target": 3}',
    '{"_target": "os:system"}',
    '{"__class__": 1}',
    '{"a.b": 1}',
    '{"a": ' + "9" * 5000 + "}",
    '{"a": ' * 70 + "1" + "}" * 70,
  ],
)
def test_json_of_strangers_is_a_config_or_a_line(text):
  with pytest.raises(UserError) as refusal:
    from_json(text)
  assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
  ("key", "text", "part"),
  [
    ("n", "9" * 5000, "expected int"),
    ("n", "true", "found 'true' (bool), expected int"),
    ("rate", "false", "found 'false' (bool), expected float"),
    ("rate", "1e400", "expected float"),
    ("a\nb", "1", r"no key 'a\nb'"),
    ("\x1b[2J", "1", r"\x1b[2J"),
    ("\u202ekey", "1", r"\u202ekey"),
    ("x" * 100_000, "1", " ... "),
  ],
)
def test_a_message_is_one_printable_line_of_bearable_length(key, text, part):
  with pytest.raises(UserError) as refusal:
    override(_config(), key, text)
  message = str(refusal.value)
  assert message.isprintable() and len(message) < 5000 and part in message


def test_a_tuple_of_tuples_is_not_torn_apart():
  config = _config()
  override(config, "scale", "((1, 2), (3, 4))")
  assert config.scale == ("((1, 2), (3, 4))",)  # a word, which `build` then refuses
