"""Counts of the examples that were kept and left out, while they are read."""

import dataclasses

KEYS = 5  # shown of each reason


@dataclasses.dataclass
class Tally:
  """Counts of examples for the report and later stages, plain so that a journal can keep them.

  Attributes:
    kept: the number of examples kept, by split; those that are in none yet are in "".
    dropped: the number of examples left out, by reason.
    dropped_keys: the keys of the first few, by reason.
    faults: the number of those that should have been examples.
    fault_reasons: the number of those, by reason.
    passed_over: the number of those that nobody asked for, files of other kinds for one.
  """

  kept: dict[str, int] = dataclasses.field(default_factory=dict)
  dropped: dict[str, int] = dataclasses.field(default_factory=dict)
  dropped_keys: dict[str, list[str]] = dataclasses.field(default_factory=dict)
  faults: int = 0
  fault_reasons: dict[str, int] = dataclasses.field(default_factory=dict)
  passed_over: int = 0

  @property
  def num_kept(self) -> int:
    """The number of examples kept in all splits."""
    return sum(self.kept.values())

  @property
  def num_read(self) -> int:
    """The number of examples read, kept or not, without the files of other kinds."""
    return self.num_kept + sum(self.dropped.values()) - self.passed_over

  def keep(self, split: str, *, count: int = 1) -> None:
    """Counts an example that is kept, or several."""
    self.kept[split] = self.kept.get(split, 0) + count

  def pass_over(self, reason: str, *, fault: bool, count: int = 1) -> None:
    """Counts what is no example, once or several times."""
    self.faults += count if fault else 0
    self.passed_over += 0 if fault else count
    if fault:
      self.fault_reasons[reason] = self.fault_reasons.get(reason, 0) + count

  def drop(self, key: str, reason: str, *, count: int = 1) -> None:
    """Counts an example that is left out, or several of which `key` is the first."""
    self.dropped[reason] = self.dropped.get(reason, 0) + count
    keys = self.dropped_keys.setdefault(reason, [])
    if len(keys) < KEYS:
      keys.append(key)
