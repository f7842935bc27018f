"""What is written."""

import json

import pytest

from pretrainjax.benchmark.output import gib, write_json
from pretrainjax.errors import UserError


def test_json_is_written_where_it_was_asked_for(tmp_path):
  write_json(None, {})
  write_json(tmp_path / "new" / "a.json", {"x": [1, None]})
  assert json.loads((tmp_path / "new" / "a.json").read_text()) == {"x": [1, None]}
  with pytest.raises(UserError, match="--json: cannot write to"):
    write_json(tmp_path, {})


def test_gib():
  assert [gib(x * 2**30) for x in (0, 0.001, 0.5, 12.345)] == ["0", "<0.01", "0.50", "12.35"]
