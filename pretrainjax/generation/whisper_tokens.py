"""What the special tokens of a Whisper are: its prompts, languages, times and silence."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.convert.hub import locate
from pretrainjax.convert.whisper_generation import GenerationConfig, read_generation_config
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError, nearest
from pretrainjax.generation.transcriber import Rules
from pretrainjax.models.whisper import WhisperDecoder

Task = Literal["transcribe", "translate"]
_TASKS: tuple[Task, ...] = ("transcribe", "translate")
_NO_TIMES = "<|notimestamps|>"
_NO_SPEECH = ("<|nospeech|>", "<|nocaptions|>")
_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")
# What the authors' code goes by: the vocabulary of models of English alone is smaller.
_MULTILINGUAL = 51_865


@dataclasses.dataclass(frozen=True)
class WhisperTokens:
  """The tokens of a Whisper, by what they mean.

  Attributes:
    tokenizer: the tokenizer, for the words.
    start_id: the token that every text begins with.
    end_id: the token that ends it; ids below it are words.
    first_time: the token of second 0; those of later ones follow it.
    no_speech_id: the token that stands for silence; None without one.
    languages: the token of each language, by its code; none for a model of English alone.
    tasks: the tokens of "transcribe" and "translate", likewise.
    rules: which tokens are written where.
  """

  tokenizer: Tokenizer
  start_id: int
  end_id: int
  first_time: int
  no_speech_id: int | None
  languages: Mapping[str, int]
  tasks: Mapping[str, int]
  rules: Rules

  @classmethod
  def of(cls, loaded: Loaded) -> "WhisperTokens":
    """Those of a model that was loaded, by the names that its tokenizer has for them.

    Raises:
      UserError: where it has no tokenizer, or one that is no Whisper's.
    """
    decoder, tokenizer = loaded.module.decoder, loaded.tokenizer
    if tokenizer is None or loaded.workdir is None:
      raise UserError(f"{loaded.workdir}: has no tokenizer.json, expected a Whisper's")
    if (last := tokenizer.token_id(_NO_TIMES)) is None:
      raise UserError(f"{loaded.workdir}: its tokenizer has no {_NO_TIMES}, expected a Whisper's")
    if last + 1 >= decoder.vocab_size:
      raise UserError(
        f"{loaded.workdir}: vocab_size={decoder.vocab_size} has no times behind {_NO_TIMES}"
      )
    told = GenerationConfig()
    if loaded.source != "run":
      folder, inside = locate(loaded.workdir)
      told = read_generation_config(folder, inside=inside)
    return _tokens(tokenizer, decoder, told, first_time=last + 1)

  def prompt(self, language: str | None, task: Task) -> tuple[int, ...]:
    """The tokens that a text begins with.

    Args:
      language: the code of the language that is spoken, "en"; None for a model of English alone.
      task: whether it is written down as it is, or in English.

    Raises:
      UserError: for a language or a task that the model does not have.
    """
    if not self.languages:
      if language not in (None, "en") or task != "transcribe":
        what = f"--language: found {language}" if task == "transcribe" else f"--task: found {task}"
        raise UserError(f"{what}, but this model transcribes English alone")
      return (self.start_id,)
    if language not in self.languages:
      near = nearest(str(language), self.languages)
      raise UserError(
        f"--language: found {language}, expected one of {len(self.languages)} codes, such as "
        f"en{near}"
      )
    if task not in self.tasks:
      raise UserError(f"--task: found {task}, expected {' or '.join(self.tasks)}")
    return (self.start_id, self.languages[language], self.tasks[task])

  def text(self, tokens: Sequence[int]) -> str:
    """The words of tokens, with the space before the first where there is one."""
    return self.tokenizer.decode([token for token in tokens if token < self.end_id])


def _tokens(
  tokenizer: Tokenizer, decoder: WhisperDecoder, told: GenerationConfig, *, first_time: int
) -> WhisperTokens:
  size = decoder.vocab_size
  is_multilingual = told.is_multilingual
  if is_multilingual is None:
    is_multilingual = size >= _MULTILINGUAL
  special = {i: tokenizer.piece(i) or "" for i in tokenizer.special_ids if i < first_time}
  named = {name: i for i, name in special.items()}
  languages = {m[1]: i for i, name in special.items() if (m := _LANGUAGE.fullmatch(name))}
  tasks = {task: named[f"<|{task}|>"] for task in _TASKS if f"<|{task}|>" in named}
  no_speech_id = next((named[name] for name in _NO_SPEECH if name in named), None)
  rules = Rules(
    # Of special tokens only the end and the times are written.
    suppressed=tuple(sorted({*told.suppressed, *special} - {decoder.end_id})),
    suppressed_first=told.suppressed_first,
    first_time=first_time,
    no_speech_id=no_speech_id,
  )
  known = (languages, tasks) if is_multilingual else ({}, {})
  return WhisperTokens(
    tokenizer, decoder.start_id, decoder.end_id, first_time, no_speech_id, *known, rules
  )
