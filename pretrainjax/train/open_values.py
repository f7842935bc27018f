"""Fills in what a config leaves open, from its data and its network, before anything is built."""

from collections.abc import Iterator
from typing import Any

from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.config.follow import Argument, Source, following, is_settled
from pretrainjax.config.objects import RECIPE, build
from pretrainjax.config.text import flatten
from pretrainjax.errors import UserError, one_line

_PREPARED, _BACKBONE = "prepared.", "objective.backbone."
# What "prepared.X" is, in words.
_FACTS = {
  "num_channels": "channels of the images of {names}",
  "num_classes": "classes of {names}",
  "num_tags": "tags of {names}",
}


def fill_in(
  config: ConfigDict,
  *,
  prepared: Any = None,
  checks_data: bool = True,
  only: str = "",
  allow: tuple[str, ...] = (),
) -> ConfigDict:
  """A copy of a config in which nothing is left open, and nothing contradicts itself.

  Args:
    config: of a run.
    prepared: what its data says of itself; None asks the datasets of `config.data`, once something
      follows from them.
    checks_data: whether values that were typed are compared with the data, which must then be
      there; otherwise it is only asked for what nothing else says.
    only: a key: what does not lie below is left as it is.
    allow: the packages beside ours that it may name, see `config.allowed.resolve`.

  Raises:
    UserError: for what is open and follows from nothing that is known, naming the flag; and for two
      values that do not go together, naming both.
  """
  filled = _copied(config)
  places = _Places(filled, prepared, needs_data=checks_data, allow=allow)
  while any(places.fill(argument) for argument in _below(filled, only, allow) if argument.is_open):
    pass  # what was filled in may give others their values
  arguments = list(_below(filled, only, allow))
  open_ones = [argument for argument in arguments if argument.is_open]
  if open_ones:
    raise _left_open(open_ones, places)
  for argument in arguments:
    places.check(argument)
  return filled


def filled_in(before: ConfigDict, after: ConfigDict) -> list[str]:
  """What `fill_in` filled in, "key=value", alike ones of several places once."""
  was, found = flatten(before), {}
  for key, value in flatten(after).items():
    if value is not None and was.get(key) is None:
      found.setdefault((key.rpartition(".")[2], repr(value)), []).append(key)
  return [
    f"{keys[0] if len(keys) == 1 else f'{name} (in {len(keys)} places)'}={value}"
    for (name, value), keys in found.items()
  ]


def _copied(value: Any) -> Any:
  """A copy with the keys in their order, which `copy` loses."""
  if isinstance(value, (tuple, list)):
    return type(value)(_copied(item) for item in value)
  if not isinstance(value, ConfigDict):
    return value
  return ConfigDict({key: _copied(value[key]) for key in value}, sort_keys=False)


def _below(config: ConfigDict, key: str, allow: tuple[str, ...]) -> Iterator[Argument]:
  node = config.get(key) if key else config
  return following(node, path=key, allow=allow)


class _Places:
  """The values of the places that arguments may follow."""

  def __init__(
    self, config: ConfigDict, prepared: Any, *, needs_data: bool, allow: tuple[str, ...]
  ):
    self._config, self._needs_data, self._allow = config, needs_data, allow
    self._prepared = facts_of(config) if prepared is None else prepared
    self._networks: dict[str, tuple[dict, Any]] = {}
    self.unknown: dict[str, str] = {}

  def fill(self, argument: Argument) -> bool:
    """Gives an open argument its value, where one is known by now."""
    for source in argument.sources:
      value = None if source.holds == "at_most" else self._value(source)
      if value is not None:
        with argument.node.ignore_type():
          argument.node[argument.name] = value
        return True
    return False

  def check(self, argument: Argument) -> None:
    """Refuses a value that another one contradicts."""
    found = argument.node[argument.name]
    for source in argument.sources:
      if source.holds == "default" or found is None:
        continue
      if source.place.startswith(_PREPARED) and not self._needs_data:
        continue
      expected = self._value(source)
      if expected is not None and _is_wrong(found, expected, most=source.holds == "at_most"):
        raise UserError(self._contradiction(argument, source, expected))

  def _value(self, source: Source) -> Any:
    value = self._at(source.place)
    if source.times is None or value is None:
      return value
    factor = self._at(source.times)
    return None if factor is None else value * factor / source.over

  def _at(self, place: str) -> Any:
    """The value of a place; None where it is not known (yet)."""
    if place.startswith(_PREPARED):
      return self._fact(place)
    *parents, name = place.split(".")
    node, path = self._config, []
    for parent in parents:
      node = node.get(parent) if isinstance(node, ConfigDict) else None
      path.append(parent)
    if not isinstance(node, ConfigDict):
      return None
    if name in node and node[name] is not None:
      return None if isinstance(node[name], ConfigDict) else node[name]
    network = self._network(node, ".".join(path)) if node.get(RECIPE) else None
    return getattr(network, name, None)

  def _fact(self, place: str) -> Any:
    if self._prepared is None:
      return None
    try:
      return getattr(self._prepared, place.removeprefix(_PREPARED))
    except LookupError as error:
      self.unknown[place] = str(error.args[0])
    except UserError as error:  # no such dataset
      if self._needs_data:
        raise
      self.unknown[place] = str(error).partition(": ")[2]
    return None

  def _network(self, node: ConfigDict, path: str) -> Any:
    """The network that a recipe makes, without arrays; None while something of it is open."""
    now = flatten(node)
    if path not in self._networks or self._networks[path][0] != now:
      network = None
      if is_settled(node, allow=self._allow):
        make = build(node, path=f"config.{path}", allow=self._allow)
        try:
          network = nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
        except (ValueError, TypeError, OverflowError) as error:
          raise UserError(f"config.{path}: {one_line(error)}") from error
      self._networks[path] = now, network
    return self._networks[path][1]

  def _contradiction(self, argument: Argument, source: Source, expected: Any) -> str:
    """Which two values do not go together, and what to type."""
    found = argument.node[argument.name]
    most = "at most " if source.holds == "at_most" else ""
    if source.times is not None:  # either can go
      return (
        f"config.{argument.key}: found {found} beside config.{source.place}, which gives "
        f"{expected} for config.{source.times}={self._at(source.times)}; say "
        f"--config.{argument.key}=none, or --config.{source.place}=none"
      )
    flag = argument.key
    if flag.startswith(_BACKBONE) and self._config.get("init"):
      flag = flag.replace(_BACKBONE, "changes.")  # the checkpoint has its own backbone
    return (
      f"config.{argument.key}: found {found}, expected {most}{expected}, {self._why(source)}; say "
      f"--config.{flag}={expected}, or change the other"
    )

  def _why(self, source: Source) -> str:
    if not source.place.startswith(_PREPARED):
      return f"as config.{source.place} says"
    names = f"config.data.datasets={getattr(self._prepared, 'names', '')}"
    fact = source.place.removeprefix(_PREPARED)
    return f"the {_FACTS.get(fact, fact + ' of {names}').format(names=names)}"


def _is_wrong(found: Any, expected: Any, *, most: bool) -> bool:
  """Whether a value is another one, or above it; one of the wrong kind is left to `build`."""
  numbers = [isinstance(v, (int, float)) and not isinstance(v, bool) for v in (found, expected)]
  if not all(numbers) and type(found) is not type(expected):
    return False
  return found > expected if most else found != expected


def facts_of(config: ConfigDict) -> Any:
  """What the training data says of itself, not yet asked; None for data that names no dataset."""
  data = config.get("data")
  if not isinstance(data, ConfigDict) or "datasets" not in data:
    return None
  datasets = data.datasets
  if isinstance(datasets, ConfigDict):
    datasets = datasets.to_dict()
  if not datasets:
    return None
  from pretrainjax.data.prepared_facts import PreparedFacts  # tfds: training itself does without

  return PreparedFacts(datasets, data.get("split") or "train", data.get("data_dir"))


def _left_open(arguments: list[Argument], places: _Places) -> UserError:
  """What to type for the first argument that follows from data which does not say."""
  reasons = [
    (argument, places.unknown[source.place])
    for argument in arguments
    for source in argument.sources
    if source.place in places.unknown
  ]
  if reasons:
    argument, reason = reasons[0]
    return UserError(
      f"config.{argument.key}: left open, but {reason}; say --config.{argument.key}=VALUE"
    )
  argument = arguments[0]
  wanted = ", ".join(f"config.{source.place}" for source in argument.sources)
  return UserError(
    f"config.{argument.key}: left open, and so is what it follows ({wanted}); say "
    f"--config.{argument.key}=VALUE"
  )
