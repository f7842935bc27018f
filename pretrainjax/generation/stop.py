"""Streaming text out of tokens: whole characters only, and nothing from a stop string on."""

from collections.abc import Callable, Sequence

_REPLACEMENT = "\ufffd"  # what a decoder makes of bytes that are no character, or not yet


class Continuation:
  """The text that follows a prompt, decoded while its tokens are generated.

  Args:
    decode: the function from token ids to text, without special tokens.
    prompt: the token ids of the prompt, which decide whether the text begins with a space.
    stops: the strings that end the text and are no part of it.
  """

  def __init__(
    self,
    decode: Callable[[Sequence[int]], str],
    *,
    prompt: Sequence[int] = (),
    stops: Sequence[str] = (),
  ):
    if not all(stops):
      raise ValueError("stop: found an empty string, expected at least one character")
    self._decode, self._stops = decode, tuple(stops)
    self._prompt = list(prompt)
    self._before = decode(self._prompt)
    self._shown = 0

  def text(self, tokens: Sequence[int]) -> str:
    """The text of new tokens, up to the first stop string, whole characters only."""
    whole = self._plain(tokens)
    place = self._first_stop(whole)
    return whole if place is None else whole[:place]

  def end(self, tokens: Sequence[int]) -> int | None:
    """The number of tokens up to the end of the first stop string; None where there is none."""
    if not self._stops or self._first_stop(self._plain(tokens)) is None:
      return None
    # One by one, so that it does not matter how many tokens came at once.
    counts = range(1, len(tokens) + 1)
    return next(n for n in counts if self._first_stop(self._plain(tokens[:n])) is not None)

  def new_text(self, tokens: Sequence[int], *, is_last: bool) -> str:
    """The part of the text that can be shown now and was not returned before.

    Args:
      tokens: all new tokens so far.
      is_last: whether no more will come; else what may begin a stop string is held back.
    """
    text = self.text(tokens)
    if not is_last:
      text = text[: len(text) - self._held(text)]
    new, self._shown = text[self._shown :], max(self._shown, len(text))
    return new

  def _plain(self, tokens: Sequence[int]) -> str:
    whole = self._decode([*self._prompt, *tokens])
    if whole.startswith(self._before):
      whole = whole[len(self._before) :]
    else:  # a decoder that mends what it joins
      whole = self._decode(list(tokens))
    return whole.rstrip(_REPLACEMENT)

  def _first_stop(self, text: str) -> int | None:
    places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
    return min(places, default=None)

  def _held(self, text: str) -> int:
    """The number of characters at the end that may be the beginning of a stop string."""
    longest = max(map(len, self._stops), default=1) - 1
    for count in range(min(longest, len(text)), 0, -1):
      if any(stop.startswith(text[-count:]) for stop in self._stops):
        return count
    return 0
