"""Conversations as a prompt and its response."""

from collections.abc import Mapping
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
  if not isinstance(messages, list):
    raise NoChat("no list of messages")
  turns = [_turn(message) for message in messages]
  last = next((i for i in reversed(range(len(turns))) if turns[i][0] in _ANSWERS), None)
  if not last:
    raise NoChat("no message, or none that answers one")
  before = turns[:last]
  texts = [text if len(before) == 1 else f"{role}: {text}" for role, text in before]
  return "\n\n".join(texts), turns[last][1]


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
