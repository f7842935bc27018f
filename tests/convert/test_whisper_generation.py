import json

import pytest

from pretrainjax.convert.whisper_generation import GenerationConfig, read_generation_config
from pretrainjax.errors import UserError


def read(folder, **files):
  for name, content in files.items():
    (folder / f"{name}.json").write_text(json.dumps(content))
  return read_generation_config(folder, inside=folder)


def test_each_library_says_it_its_own_way(tmp_path):
  assert read(tmp_path) == GenerationConfig()
  theirs = {"suppress_ids": [4, -1, 5], "suppress_ids_begin": [6]}
  assert read(tmp_path, config=theirs) == GenerationConfig((4, 5), (6,))
  later = {"suppress_tokens": [1], "begin_suppress_tokens": None, "is_multilingual": True}
  assert read(tmp_path, generation_config=later) == GenerationConfig((1,), (6,), True)


@pytest.mark.parametrize(
  "content, said",
  [
    ([], "is no dictionary"),
    ({"suppress_ids": [True]}, "suppress_ids: expected a list of tokens"),
    ({"begin_suppress_tokens": 3}, "begin_suppress_tokens: expected a list of tokens"),
    ({"suppress_tokens": [-2]}, "suppress_tokens: expected a list of tokens"),
  ],
)
def test_files_that_are_none_are_one_line(tmp_path, content, said):
  with pytest.raises(UserError, match=said):
    read(tmp_path, config=content)
