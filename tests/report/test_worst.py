import json

from pretrainjax.report.worst import worst_text, write_worst

WORST = [
  {"errors": 9 - i, "words": 4, "reference": f"K\u00e4tzchen {i} " + "miau " * 40, "hypothesis": ""}
  for i in range(5)
]


def test_all_are_written_and_a_few_shown(tmp_path):
  for _ in range(2):  # the second replaces the first
    write_worst(tmp_path / "worst.jsonl", WORST)
  lines = (tmp_path / "worst.jsonl").read_text(encoding="utf-8").splitlines()
  assert [json.loads(line) for line in lines] == WORST and "K\u00e4tzchen" in lines[0]
  text = worst_text("words", WORST).splitlines()
  assert text[0] == "words, the worst of 5:" and max(map(len, text)) <= 100
  assert sum(line.startswith("  reference   K\u00e4tzchen") for line in text) == 3
  assert text[3].endswith(" ...") and text[4] == "  hypothesis"
