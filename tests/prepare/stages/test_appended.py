"""What was not committed is cut off."""

from pretrainjax.prepare.stages.appended import Appended


def test_what_came_after_the_last_sync_is_cut_off(tmp_path):
  files = Appended(tmp_path, {})
  assert [files.append("a", data) for data in (b"xy", b"z")] == [0, 2]
  sizes = files.sync()
  assert sizes == {"a": 3} and (tmp_path / "a").read_bytes() == b"xyz"
  files.append("a", b"lost")
  files.append("b", b"lost")  # a file that the sync does not know
  files.close()
  files = Appended(tmp_path, sizes)
  assert (tmp_path / "a").read_bytes() == b"xyz"
  assert (files.size("a"), files.size("b")) == (3, 0)  # whatever lies there
  assert files.append("a", b"!") == 3 and files.append("b", b"new") == 0
  assert files.sync() == {"a": 4, "b": 3} and (tmp_path / "b").read_bytes() == b"new"
  files.close()


def test_a_file_that_nothing_is_added_to_keeps_its_size(tmp_path):
  files = Appended(tmp_path, {})
  files.append("a", b"xy")
  sizes = files.sync()
  files.append("a", b"lost")
  files.close()
  again = Appended(tmp_path, sizes)
  assert again.sync() == {"a": 2} and (tmp_path / "a").read_bytes() == b"xy"
