"""Conversations become a prompt and its response."""

import pytest

from pretrainjax.prepare.text.chat import NoChat, prompt_and_response, prompt_of


def said(*turns: tuple[str, str]) -> list[dict]:
  return [{"role": role, "content": text} for role, text in turns]


def test_one_question_is_the_prompt():
  assert prompt_and_response(said(("user", "Why?"), ("assistant", "So."))) == ("Why?", "So.")
  shared = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]
  assert prompt_and_response(shared) == ("Why?", "So.")


def test_of_several_each_stands_behind_its_role():
  turns = said(("system", "Be brief."), ("user", "Why?"), ("assistant", "So."), ("user", "And?"))
  found = prompt_and_response([*turns, *said(("assistant", "No."), ("user", "Bye"))])
  assert found == ("system: Be brief.\n\nuser: Why?\n\nassistant: So.\n\nuser: And?", "No.")


def test_contents_of_parts():
  parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
  assert prompt_and_response(said(("user", parts), ("assistant", "c"))) == ("ab", "c")


def test_a_prompt_ends_where_an_answer_is_wanted():
  question, answer = ("user", "Why?"), ("assistant", "So.")
  assert prompt_of(said(question)) == prompt_of(said(question, answer)) == "Why?"
  assert prompt_of(said(question, answer, ("user", "And?"))).endswith("\n\nuser: And?")
  assert prompt_of(said(question, answer)) == prompt_and_response(said(question, answer))[0]
  for messages in ([], said(answer), ["hello"]):
    with pytest.raises(NoChat):
      prompt_of(messages)


@pytest.mark.parametrize(
  "messages",
  [
    None,
    [],
    ["hello"],
    said(("user", "Why?")),
    said(("assistant", "So.")),
    [{"role": "user"}, {"role": "assistant", "content": "x"}],
    [{"role": 1, "content": "x"}],
  ],
)
def test_what_is_no_conversation(messages):
  with pytest.raises(NoChat):
    prompt_and_response(messages)
