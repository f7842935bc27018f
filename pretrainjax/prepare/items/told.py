"""What is in a prepared set of interactions, and what was left out, for a person."""

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

_SHOWN = 5


def lines(report: Mapping[str, Any]) -> Iterator[str]:
  """The report as lines.

  Args:
    report: the facts of prepared.json.
  """
  yield (
    f"left           {report['num_events']:,} events of {report['num_users']:,} users with "
    f"{report['num_items']:,} items; longest history {report['longest_history']:,}"
  )
  yield from _left_out(report)
  yield from _splits(report)
  for what, count in report["remarks"].items():
    yield f"remarked       {count:,} event{'s' * (count > 1)} {what}; kept"
  for kind, found in report["described"].items():
    if found["with"] + found["not_in_log"]:
      yield (
        f"{kind + 's':<14} {found['with']:,} are described, {found['without']:,} are not; "
        f"{found['not_in_log']:,} more rows are of no {kind} that is left"
      )


def _left_out(report: Mapping[str, Any]) -> Iterator[str]:
  protocol = report["protocol"]
  if count := report["exact_duplicates"]:
    yield f"left out       {count:,} events with user, item and time of another"
  if count := report["repeats_left_out"]:
    yield f"left out       {count:,} events with the item of the user's event before"
  if count := report["left_out_by_core"]:
    yield (
      f"left out       {count:,} events of users with fewer than {protocol['min_user_events']} or "
      f"items with fewer than {protocol['min_item_events']} events, in {report['rounds_of_core']} "
      "rounds, before the split"
    )
  kinds = sorted(report["event_types_read"].items(), key=lambda pair: -pair[1])
  if kinds:
    shown = ", ".join(f"{name} {count:,}" for name, count in kinds[:_SHOWN])
    more = f" and {len(kinds) - _SHOWN} more" if len(kinds) > _SHOWN else ""
    which = ", ".join(protocol["event_types"]) or "all"
    yield f"event types    {shown}{more}; taken: {which} (--config.filters.event_types)"


def _splits(report: Mapping[str, Any]) -> Iterator[str]:
  protocol = report["protocol"]
  how = "leave-one-out, which trains on what is later than others are asked about"
  if protocol["split"] == "temporal":
    train, test = (_moment(protocol[name], report["times"]) for name in ("cut", "test_cut"))
    how = f"temporal: trained on what is before {train}, tested from {test} on"
  yield f"split          {how}; target {protocol['target']}, validation {protocol['validation']}"
  for split, counts in report["splits"].items():
    what = "events" if split == "train" else "targets"
    cold = report["cold_users"].get(split, 0)
    told = f", {cold:,} of users who are not trained on" if cold else ""
    yield f"{split:<14} {counts['examples']:,} records, {counts['events']:,} {what}{told}"
  if "validation" not in report["splits"]:
    yield "validation     no records: nobody has an event there (--config.splits.validation)"
  if count := report["cold_items"]:
    yield f"cold items     {count:,} that are not trained on"


def _moment(seconds: int, times: str) -> str:
  if times != "seconds":
    return f"row {seconds:,}"
  try:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
  except (ValueError, OverflowError, OSError):  # years that a calendar has not
    return f"{seconds:,} s"
