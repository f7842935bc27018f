"""Lists by `predict recommend`, of users, histories and files."""

import json

import numpy as np
import pytest
from fake_encoders import identity
from item_sets import NUM_ITEMS, loaded, recommender, split, write_tastes
from ml_collections import ConfigDict

from pretrainjax.command import Request
from pretrainjax.command_line import make_parser
from pretrainjax.config.allowed import add_allow_flag
from pretrainjax.errors import UserError
from pretrainjax.evaluators.item_popularity import windowed_counts
from pretrainjax.evaluators.ranking_base import read_split
from pretrainjax.predict import recommend
from pretrainjax.predict.item_log import ItemLog


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("data")
  write_tastes(data_dir)
  return data_dir


def call(folder, *flags, encoder=None, datasets=None):
  parser = make_parser("predict", "", needs_workdir=True)  # as the binary does
  add_allow_flag(parser)
  recommend.add_flags(parser)
  given = () if datasets is None else (f"--datasets={datasets}",)
  options = parser.parse_args((*flags, *given))
  recommend.work(Request(ConfigDict(), folder, options), loaded(folder, encoder))


def listed(text: str) -> list[list[str]]:
  """The ids of each list that was shown."""
  lists: list[list[str]] = []
  for line in text.splitlines():
    if line.startswith("  "):
      lists[-1].append(line.rpartition("(")[2].partition(")")[0])
    else:
      lists.append([])
  return lists


def expected(history: list[int], *, seen: bool = False, top: int = 3) -> list[str]:
  table, bias = (np.asarray(x)[: NUM_ITEMS + 1] for x in recommender().candidates())
  scores = table @ table[history[-3:]].mean(0) + bias
  order = sorted(range(1, NUM_ITEMS + 1), key=lambda i: -scores[i])
  return [f"i{i}" for i in order if seen or i not in history][:top]


def test_a_history_is_answered_with_titles(folder, capsys):
  call(folder, "--history=The film 2, i4", "--history=i7", "--top=3")
  out = capsys.readouterr().out
  assert out.startswith("The film 2, i4: by model\n   1. The film ")
  assert listed(out) == [expected([2, 4]), expected([7])]


def test_what_one_took_may_be_shown_again(folder, capsys):
  call(folder, "--history=i1,i2,i3", "--top=12", "--seen=shown")
  assert listed(capsys.readouterr().out) == [expected([1, 2, 3], seen=True, top=12)]


def test_a_user_is_answered_by_all_events(folder, capsys):
  events = ItemLog(split(folder, "train").sources[0]).all_events(4).items.tolist()
  call(folder, "--user=u4", "--top=3")
  assert listed(capsys.readouterr().out) == [expected(events)]


def test_cold_users_get_windowed_popularity_and_are_told_so(folder, capsys):
  call(folder, "--user=nobody", "--user=u4", "--top=2")
  said = capsys.readouterr()
  train = read_split(split(folder, "train"), field="train")
  order = np.argsort(-windowed_counts(train, days=7.0), kind="stable")
  lists = listed(said.out)
  assert lists[0] == [f"i{i}" for i in order[:2]] and {*lists[0]} == {"i11", "i12"}
  assert "nobody: by popularity of the last 7 days" in said.out
  assert said.err == "nothing is known of 1 of 2: they get the popularity of the last 7 days\n"


def test_lists_of_what_is_allowed_and_blocked(folder, capsys, tmp_path):
  (tmp_path / "some.txt").write_text("The film 5\ni6\n\ni7\n")
  call(
    folder, "--history=i5", f"--allow_items={tmp_path / 'some.txt'}", "--block_items=i7", "--top=5"
  )
  assert listed(capsys.readouterr().out) == [["i6"]]
  call(folder, "--user=nobody", "--block_items=i11,i12", "--top=12")
  assert len(listed(capsys.readouterr().out)[0]) == 10
  with pytest.raises(UserError, match="--block_items: nothing is left"):
    call(folder, "--history=i5", "--allow_items=i7", "--block_items=i7")
  with pytest.raises(UserError, match="--allow_items: found no item 'The flim 7'.*'The film 7'"):
    call(folder, "--history=i5", "--allow_items=The flim 7")


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_file_is_answered_in_order(folder, tmp_path, suffix, capsys):
  if suffix == "parquet":
    pytest.importorskip("pyarrow")
  rows = [{"user": "u4"}, {"history": "i2, no such"}, {"user": "nobody"}, {"history": ["i7"]}]
  (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
  out = tmp_path / f"x.{suffix}"
  call(folder, f"--file={tmp_path / 'asked.jsonl'}", f"--out={out}", "--top=2", "--batch_size=2")
  if suffix == "parquet":
    import pyarrow.parquet as parquet

    found = [(r["user"], r["by"], r["items"]) for r in parquet.read_table(out).to_pylist()]
  else:
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    found = [(r["user"], r["by"], [i["id"] for i in r["items"]]) for r in lines]
  assert [name for name, _, _ in found] == ["u4", "i2, no such", "nobody", "i7"]
  assert found[1][1:] == ("model (not in the set: no such)", expected([2], top=2))
  assert found[2][1] == "popularity of the last 7 days" and found[3][2] == expected([7], top=2)
  said = capsys.readouterr().out
  assert f"4 lists of 2 items: {out}" in said and "nothing is known of 1 of 4" in said
  assert "histories of 1 of 4 name items that are not in the set" in said
  assert not out.with_name(f"{out.name}.parts").exists()


def test_a_stopped_command_goes_on_and_ends_alike(folder, tmp_path, monkeypatch):
  monkeypatch.setattr(recommend, "_PART", 2)
  asked = tmp_path / "asked.jsonl"
  asked.write_text("".join(json.dumps({"user": f"u{n}"}) + "\n" for n in range(7)))
  flags = (f"--file={asked}", "--top=3")
  call(folder, *flags, f"--out={tmp_path / 'whole.jsonl'}")
  made, best = [], recommend.ScoredItems.best

  def stopped(self, askers):
    if len(made) == 2:
      raise KeyboardInterrupt
    made.append(len(askers))
    return best(self, askers)

  monkeypatch.setattr(recommend.ScoredItems, "best", stopped)
  with pytest.raises(KeyboardInterrupt):
    call(folder, *flags, f"--out={tmp_path / 'parts.jsonl'}")
  monkeypatch.setattr(recommend.ScoredItems, "best", best)
  with pytest.raises(UserError, match=r"parts of another command \(top differ\)"):
    call(folder, flags[0], "--top=2", f"--out={tmp_path / 'parts.jsonl'}")
  call(folder, *flags, f"--out={tmp_path / 'parts.jsonl'}")
  assert (tmp_path / "parts.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    ((), "--user: found nothing, expected one of"),
    (("--user=u1", "--history=i1"), "--user: found --user and --history, expected one of"),
    (("--user=u1", "--top=0"), "--top: found 0, expected at least 1"),
    (("--user=u1", "--days=0"), "--days: found 0, expected above 0"),
    (("--user=u1", "--out=x.txt"), "--out: found 'x.txt', expected one of .jsonl, .parquet"),
    (("--history=The film 22",), "--history: found no item 'The film 22' among 12 items; did"),
  ],
)
def test_mistakes_are_one_line(folder, flags, message):
  with pytest.raises(UserError, match=message):
    call(folder, *flags)


def test_a_run_that_recommends_nothing_and_a_set_of_other_items_are_refused(folder, tmp_path):
  with pytest.raises(UserError, match="expected a recommender"):
    call(folder, "--user=u1", encoder=identity())
  write_tastes(folder, name="more", num_items=14)
  with pytest.raises(UserError, match="--datasets: 'more' has 14 items, expected the run's 12"):
    call(folder, "--user=u1", datasets="more")


def test_without_times_popularity_is_that_of_all_events(tmp_path, capsys):
  write_tastes(tmp_path, facts={"times": "rows"})
  call(tmp_path, "--user=nobody", "--top=2")
  assert "nobody: by popularity\n" in capsys.readouterr().out
