"""Flags, stored configs and what they name: a value, or one line."""

import json

import pytest
from hypothesis import strategies as st
from ml_collections import ConfigDict
from rounds import both, bytes_or_edited, fuzz, result_or_line

from pretrainjax.checkpoint.manager import Keep
from pretrainjax.config import build, spec
from pretrainjax.config.allowed import resolve
from pretrainjax.config.text import flatten, from_json, override, to_json

VALUES = {"count": 1, "rate": 0.5, "word": "x", "flag": True, "pair": (1, 2.0), "none": None}
KEYS = ["count", "rate", "word", "flag", "pair", "none", "keep.last", "keep.metric", "keep.mode"]
TEXTS = st.one_of(
  st.text(max_size=30),
  st.sampled_from(["true", "none", "nan", "-inf", "1e400", "((1,2),3)", "9" * 5000, "0x10", "1_0"]),
  st.from_regex(r"[-+(\[]*[0-9.,e_ ()'\"]{0,12}", fullmatch=True),
)


def config() -> ConfigDict:
  return ConfigDict({**VALUES, "keep": spec(Keep)})


@both(4000)
def test_flags(cases):
  def check(key, text):
    before, changed = config(), config()
    if result_or_line(lambda: override(changed, key, text) or True):
      # No flag turns a value into one of another kind, or touches another one.
      # `none` takes a part out as a whole, such as an evaluator.
      gone = {name for name in flatten(before) if key == "keep" and name.startswith("keep.")}
      assert flatten(changed).keys() - {key} == flatten(before).keys() - {key} - gone
      for name, value in flatten(before).items():
        new = flatten(changed).get(name)
        if name in gone:
          continue
        assert name == key or new == value
        assert value is None or new is None or type(new) is type(value)
    assert to_json(from_json(to_json(changed))) == to_json(changed)

  keys = st.one_of(st.sampled_from(KEYS), st.text(max_size=20), st.sampled_from(["", ".", "keep"]))
  fuzz(check, keys, TEXTS, cases=cases)


@both(4000)
def test_stored_configs(cases):
  stored = to_json(config()).encode()

  def check(data):
    text = data.decode("utf-8", "surrogateescape")
    found = result_or_line(lambda: from_json(text))
    assert found is None or isinstance(found, ConfigDict)
    if found is not None:
      result_or_line(lambda: build(found))

  fuzz(check, bytes_or_edited(stored, b'{"a": {"_tuple": [1, 2]}}'), cases=cases)


MODULES = st.sampled_from(
  [
    "pretrainjax",
    "pretrainjax.config",
    "pretrainjax.config.text",
    "pretrainjax.models.vit",
    "pretrainjax.checkpoint.manager",
    "pretrainjax.prepare.files.places",
    "pretrainjax.prepare.__main__",
    "pretrainjax.data.text_data",
    "optax",
    "optax._src.base",
    "os",
    "subprocess",
    "builtins",
    "",
    "mylab",
    "mylab.os",
    "optax._src.sharding_test",
  ]
)
NAMES = st.sampled_from(
  [
    "Keep",
    "Checkpoints",
    "run",
    "main",
    "load_config",
    "build",
    "nnx",
    "np",
    "os",
    "Any",
    "jax",
    "__loader__",
    "__builtins__",
    "importlib",
    "adam",
    "ViT",
    "TextData",
    "system",
    "Popen",
    "",
  ]
)
JSON = st.recursive(
  st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
  lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
  max_leaves=5,
)


@both(3000)
def test_names_of_classes(cases):
  def check(module, separator, name, more, allow):
    target = f"{module}{separator}{name}{more}"
    found = result_or_line(lambda: resolve(target, "config", allow=allow))
    if found is not None:
      assert found.__module__.split(".")[0] in ("pretrainjax", "optax")
      assert target in (f"{found.__module__}:{found.__name__}", f"optax:{found.__name__}")
      assert isinstance(found, type) or module.startswith("optax")

  separators = st.sampled_from([":", ".", "::", ":.", "\uff1a", ""])
  more = st.sampled_from(["", "", "", ".x", "\n", ":x", "\u0131", " "]) | st.text(max_size=3)
  allow = st.sampled_from([(), ("mylab",), ("pretrainjax", "optax", "optax._src")])
  fuzz(check, MODULES, separators, NAMES, more, allow, cases=cases)


@both(3000)
def test_arguments_of_classes(cases):
  """Whatever stands where values do, the class is called with what it takes, or not at all."""

  def check(last, metric, mode, extra):
    value = {"_target": "pretrainjax.checkpoint.manager:Keep", "last": last, "metric": metric}
    value |= {"mode": mode} | extra
    try:
      text = json.dumps(value)
    except ValueError:
      return
    found = result_or_line(lambda: build(from_json(text)))
    if isinstance(found, Keep):
      assert type(found.last) is int and found.last >= 1 and found.mode in ("max", "min")

  extra = st.dictionaries(st.sampled_from(["best", "_recipe", "_target", "x"]), JSON, max_size=2)
  modes = st.sampled_from(["max", "min", "MAX"]) | JSON
  fuzz(check, st.integers() | JSON, JSON, modes, extra, cases=cases)


def test_the_guard_itself():
  """A parser that raises anything else is caught by these tests."""

  def bad(text):
    result_or_line(lambda: int(text))

  with pytest.raises(ValueError, match="invalid literal"):
    fuzz(bad, st.text(max_size=3), cases=25)
