"""The report of a prepared log, line by line."""

from pretrainjax.prepare.items.told import lines

REPORT = {
  "num_events": 5_000,
  "num_users": 60,
  "num_items": 70,
  "longest_history": 80,
  "times": "seconds",
  "protocol": {
    "split": "temporal",
    "cut": 1_577_934_245,
    "test_cut": 10**15,
    "target": "last",
    "validation": "time",
    "min_user_events": 5,
    "min_item_events": 4,
    "event_types": [],
  },
  "exact_duplicates": 2,
  "repeats_left_out": 0,
  "left_out_by_core": 3,
  "rounds_of_core": 2,
  "event_types_read": {"view": 9, "buy": 1, **{f"kind{i}": 0 for i in range(5)}},
  "splits": {"train": {"examples": 6, "events": 50}, "test": {"examples": 4, "events": 4}},
  "cold_users": {"test": 1},
  "cold_items": 0,
  "remarks": {"before 1970": 2},
  "described": {
    "item": {"with": 1, "without": 2, "not_in_log": 0},
    "user": {"with": 0, "without": 60, "not_in_log": 0},
  },
}


def test_the_report_is_told():
  assert list(lines(REPORT)) == [
    "left           5,000 events of 60 users with 70 items; longest history 80",
    "left out       2 events with user, item and time of another",
    "left out       3 events of users with fewer than 5 or items with fewer than 4 events, in 2 "
    "rounds, before the split",
    "event types    view 9, buy 1, kind0 0, kind1 0, kind2 0 and 2 more; taken: all "
    "(--config.filters.event_types)",
    "split          temporal: trained on what is before 2020-01-02 03:04:05, tested from "
    "1,000,000,000,000,000 s on; target last, validation time",
    "train          6 records, 50 events",
    "test           4 records, 4 targets, 1 of users who are not trained on",
    "validation     no records: nobody has an event there (--config.splits.validation)",
    "remarked       2 events before 1970; kept",
    "items          1 are described, 2 are not; 0 more rows are of no item that is left",
  ]


def test_a_log_without_times_is_cut_at_a_row():
  told = "\n".join(lines(REPORT | {"times": "rows"}))
  assert "before row 1,577,934,245" in told
