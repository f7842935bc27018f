"""Conversations as a prompt and its response."""

from collections.abc import Mapping, Sequence
from typing import Any

# As OpenAI, Hugging Face and ShareGPT write them.
_ROLES, _TEXTS = ("role", "from"), ("content", "value")
_ANSWERS = ("assistant", "gpt", "model", "bot")


class NoChat(Exception):
  """Raised for what is no conversation, with a reason in a few words."""


def prompt_and_response(messages: Any) -> tuple[str, str]:
  """The last answer of a conversation, and all that was said before it.

  A prompt of one message is its text; of several, each stands in a paragraph behind its role.

  Args:
    messages: a list of {"role": ..., "content": ...}, or of {"from": ..., "value": ...}; a content
      may be a list of parts with "text".

  Raises:
    NoChat: for anything else, or a conversation without an answer.
  """
  turns = _turns(messages)
  last = next((i for i in reversed(range(len(turns))) if turns[i][0] in _ANSWERS), None)
  if not last:
    raise NoChat("no message, or none that answers one")
  return _prompt(turns[:last]), turns[last][1]


def prompt_of(messages: Any) -> str:
  """What an answer is to follow: a conversation up to its last answer, or all of it without one.

  Args:
    messages: as of `prompt_and_response`.

  Raises:
    NoChat: for anything else.
  """
  turns = _turns(messages)
  if turns and turns[-1][0] in _ANSWERS:
    turns = turns[:-1]
  if not turns:
    raise NoChat("no message, or none that answers one")
  return _prompt(turns)


def _turns(messages: Any) -> list[tuple[str, str]]:
  if not isinstance(messages, list):
    raise NoChat("no list of messages")
  return [_turn(message) for message in messages]


def _prompt(turns: Sequence[tuple[str, str]]) -> str:
  texts = [text if len(turns) == 1 else f"{role}: {text}" for role, text in turns]
  return "\n\n".join(texts)


def _turn(message: Any) -> tuple[str, str]:
  if not isinstance(message, Mapping):
    raise NoChat("a message that is no record of fields")
  role, text = (
    next((message[n] for n in names if n in message), None) for names in (_ROLES, _TEXTS)
  )
  if isinstance(text, list):
    text = "".join(part.get("text") or "" for part in text if isinstance(part, Mapping))
  if not isinstance(role, str) or not isinstance(text, str):
    raise NoChat("a message without role and content")
  return role, text
