import pytest

from pretrainjax.generation.stop import Continuation

PIECES = ["", "He", "llo", " wor", "ld", "\n\n", "Q", ":", " end"]
HELLO = [1, 2, 3, 4]  # "Hello world"


def decode(ids):
  return "".join(PIECES[i] for i in ids)


def decode_bytes(ids):
  return bytes(ids).decode(errors="replace")


def stripping(ids):
  """As WordPiece and Metaspace decode: no space before the first word."""
  return decode(ids).removeprefix(" ")


def shown(continuation, tokens, size=1):
  """All pieces of a stream, `size` tokens at a time, until a stop string is complete."""
  pieces = []
  for end in range(size, len(tokens) + size, size):
    stop = continuation.end(tokens[:end])
    so_far = tokens[: end if stop is None else stop]
    is_last = stop is not None or end >= len(tokens)
    pieces.append(continuation.new_text(so_far, is_last=is_last))
    if is_last:
      return pieces
  return pieces


def test_a_stop_string_ends_the_text_wherever_its_tokens_end():
  for stop, text, count in (
    ("wor", "Hello ", 3),
    ("o w", "Hell", 3),
    ("lo world\n", "Hel", 5),
    ("\n\nQ:", "Hello world", 7),
    ("H", "", 1),
  ):
    continuation = Continuation(decode, stops=[stop])
    tokens = [*HELLO, 5, 6, 7, 8]
    assert continuation.text(tokens) == text and continuation.end(tokens) == count


def test_the_first_of_several_stop_strings_counts():
  continuation = Continuation(decode, stops=["Q", "world", "rld\n"])
  assert continuation.text([*HELLO, 5, 6]) == "Hello " and continuation.end([*HELLO, 5, 6]) == 4


def test_without_stop_string_nothing_ends():
  continuation = Continuation(decode, stops=["nowhere"])
  assert continuation.text(HELLO) == "Hello world" and continuation.end(HELLO) is None
  assert Continuation(decode).end(HELLO) is None


@pytest.mark.parametrize("size", [1, 2, 5])
def test_what_may_begin_a_stop_string_is_held_back_until_it_does_not(size):
  tokens = [*HELLO, 5, 6, 8]  # "\n\nQ" and then not ":"
  pieces = shown(Continuation(decode, stops=["\n\nQ:"]), tokens, size)
  assert "".join(pieces) == "Hello world\n\nQ end"
  if size == 1:
    assert pieces == ["He", "llo", " wor", "ld", "", "", "\n\nQ end"]
  assert "".join(shown(Continuation(decode, stops=["\n\nQ:"]), [*tokens[:6], 7, 8], size)) == (
    "Hello world"
  )


def test_the_end_of_the_text_shows_what_was_held_back():
  pieces = shown(Continuation(decode, stops=["\n\nQ:"]), [*HELLO, 5])
  assert "".join(pieces) == "Hello world\n\n"


@pytest.mark.parametrize("text", ["n\u00e4chste \u2014 \u65e5\u672c \U0001f600!", "\U0001f600"])
@pytest.mark.parametrize("size", [1, 3])
def test_only_whole_characters_are_shown(text, size):
  pieces = shown(Continuation(decode_bytes), list(text.encode()), size)
  assert "".join(pieces) == text and not any("\ufffd" in piece for piece in pieces)


def test_a_character_cut_off_at_the_end_is_left_out():
  tokens = list("ab\U0001f600".encode())[:-1]
  assert Continuation(decode_bytes).text(tokens) == "ab"


def test_the_prompt_decides_whether_a_word_gets_its_space():
  assert Continuation(stripping, prompt=[1, 2]).text([3, 4]) == " world"
  assert Continuation(stripping).text([3, 4]) == "world"


def test_a_stop_string_in_the_prompt_stops_nothing():
  continuation = Continuation(decode, prompt=[5, 6], stops=["\n\nQ", "Q:"])
  assert continuation.text([7, 8]) == ": end" and continuation.end([7, 8]) is None


def test_refuses_an_empty_stop_string():
  with pytest.raises(ValueError, match="stop: found an empty string"):
    Continuation(decode, stops=["a", ""])
