"""What is kept and what is not, counted so that a journal can keep the counts."""

import dataclasses
import json

from pretrainjax.prepare.stages.tally import Tally


def test_files_of_other_kinds_do_not_count_as_read():
  tally = Tally(passed_over=1)
  for split in ("train", "train", "test"):
    tally.keep(split)
  for key, reason in (("a.pdf", "no image by its name"), ("b.png", "not decodable")):
    tally.drop(key, reason)
  assert (tally.kept, tally.num_kept, tally.num_read) == ({"train": 2, "test": 1}, 3, 4)


def test_the_first_few_keys_of_each_reason_are_kept_and_all_are_counted():
  tally = Tally()
  for i in range(9):
    tally.drop(f"{i}", "why")
  assert tally.dropped == {"why": 9} and tally.dropped_keys == {"why": list("01234")}
  assert Tally(**json.loads(json.dumps(dataclasses.asdict(tally)))) == tally
