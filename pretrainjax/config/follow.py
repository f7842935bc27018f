"""What follows from what: where an argument takes its value from while a config leaves it open.

A class says so in `follows`, by its arguments. An argument is open where it is None and may not
stay so: `image_size` of a ViT, say. `train.open_values` fills it in once the data is known.
"""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from beartype.door import is_bearable
from ml_collections import ConfigDict

from pretrainjax.config.allowed import TARGET, resolve
from pretrainjax.config.objects import hints_of


class Source(NamedTuple):
  """A place that an open argument may take its value from, and what holds where both are known.

  Attributes:
    place: a key of the config, "data.transform.size", an attribute of the network that a recipe
      makes, "objective.backbone.grid", or a fact of the training data, "prepared.num_classes".
    holds: "equal" and "at_most" refuse other values; "default" allows any, "at_most" gives none.
    times: a key whose value multiplies that of `place`.
    over: what the product is divided by.
  """

  place: str
  holds: Literal["default", "equal", "at_most"] = "default"
  times: str | None = None
  over: float = 1.0


# By argument: "image_size", or of a recipe inside of it, "head.in_dim".
Follows = Mapping[str, tuple[Source, ...]]


def takes(*places: str) -> tuple[Source, ...]:
  """The first of these places that has a value gives it; another value may be typed."""
  return tuple(Source(place) for place in places)


def equals(place: str) -> tuple[Source, ...]:
  """A place gives the value, and another value than its own is refused."""
  return (Source(place, holds="equal"),)


def at_most(place: str) -> tuple[Source, ...]:
  """A larger value than that of a place is refused."""
  return (Source(place, holds="at_most"),)


def scaled(place: str, *, times: str, over: float) -> tuple[Source, ...]:
  """The value of a place, times that of another one, over a number; no other value is taken."""
  return (Source(place, holds="equal", times=times, over=over),)


class Argument(NamedTuple):
  """An argument of a config that follows from something.

  Attributes:
    key: its place, "objective.head.in_dim".
    node: what it stands in.
    name: its name there.
    sources: where it takes its value from.
    is_open: whether it is None, and may not stay so.
  """

  key: str
  node: ConfigDict
  name: str
  sources: tuple[Source, ...]
  is_open: bool


def following(config: Any, *, path: str = "", allow: tuple[str, ...] = ()) -> Iterator[Argument]:
  """All arguments below a node of a config that follow from something, inner ones first.

  Args:
    config: a node, or any value in one.
    path: the key of the node.
    allow: the packages beside ours that it may name, see `allowed.resolve`.
  """
  if not isinstance(config, (ConfigDict, Mapping)):
    return
  for key in config:
    yield from following(config[key], path=f"{path}.{key}" if path else key, allow=allow)
  if TARGET not in config:
    return
  target = resolve(config[TARGET], f"config.{path}", allow=allow)
  for key, sources in getattr(target, "follows", {}).items():
    *parents, name = key.split(".")
    node = config
    for parent in parents:
      node = node.get(parent) if isinstance(node, ConfigDict) else None
    if isinstance(node, ConfigDict) and name in node and node.get(TARGET) is not None:
      key = f"{path}.{key}" if path else key
      yield Argument(key, node, name, sources, _is_open(node, name, path=key, allow=allow))


def is_settled(config: Any, *, allow: tuple[str, ...] = ()) -> bool:
  """Whether no argument below a node is left open."""
  return not any(argument.is_open for argument in following(config, allow=allow))


def _is_open(node: ConfigDict, name: str, *, path: str, allow: tuple[str, ...]) -> bool:
  if node[name] is not None:
    return False
  target = resolve(node[TARGET], f"config.{path}", allow=allow)
  hint = hints_of(target).get(name, inspect.Parameter.empty)
  return hint is not inspect.Parameter.empty and not is_bearable(None, hint)
