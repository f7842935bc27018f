import pytest

from pretrainjax.checkpoint.class_names import FILE, keep_class_names, read_class_names
from pretrainjax.untrusted import BadFile


def test_there_and_back(tmp_path):
  keep_class_names(tmp_path, ("Hund", "K\u00e4tzchen"))
  assert read_class_names(tmp_path) == ("Hund", "K\u00e4tzchen")


def test_none_are_kept_of_data_without_classes(tmp_path):
  keep_class_names(tmp_path, ())
  assert not (tmp_path / FILE).exists() and read_class_names(tmp_path) == ()


@pytest.mark.parametrize("text", ['{"0": "cat"}', '["cat", 1]', "nonsense"])
def test_another_file_is_refused(tmp_path, text):
  (tmp_path / FILE).write_text(text)
  with pytest.raises(BadFile):
    read_class_names(tmp_path)


def test_what_leads_out_of_the_folder_is_refused(tmp_path):
  (tmp_path / "other.json").write_text('["cat"]')
  (tmp_path / "run").mkdir()
  (tmp_path / "run" / FILE).symlink_to(tmp_path / "other.json")
  with pytest.raises(BadFile):
    read_class_names(tmp_path / "run")
