"""Names of classes in order, whatever they are."""

from pretrainjax.prepare.text.text_tally import names_in_order


def test_numbers_go_by_value_and_words_by_spelling():
  assert names_in_order(dict.fromkeys(["10", "9", "-1"], 1)) == ["-1", "9", "10"]
  assert names_in_order(dict.fromkeys(["b", "a", "O"], 1)) == ["O", "a", "b"]


def test_what_only_looks_like_numbers_is_words():
  for strange in ("--3", "9" * 5000, "\u0663", "\u00b2", "-"):
    assert set(names_in_order({strange: 1, "3": 1})) == {strange, "3"}
