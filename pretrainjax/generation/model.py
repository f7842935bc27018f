"""Text generation: the causal model of a run with its tokenizer, text in, text out."""

import collections.abc
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from pretrainjax.checkpoint.encoder import Loaded, Weights, load
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.generation.generate import Generation, Generator
from pretrainjax.generation.sampling import Sampling
from pretrainjax.generation.stop import Continuation
from pretrainjax.models.causal import CausalModel


class Completion(NamedTuple):
  """The text that was generated after a prompt.

  Attributes:
    text: the new text, without the prompt and without the stop string.
    tokens: the new token ids; the tokens that complete a stop string are among them.
    reason: why it ended: "end" (the end token), "stop" (a stop string), "length" (max_new_tokens)
      or "context" (the model's longest text).
  """

  text: str
  tokens: list[int]
  reason: str


@dataclasses.dataclass(frozen=True)
class GenerationOptions:
  """The settings of text generation.

  Args:
    max_new_tokens: the largest number of new tokens a prompt, at least 1.
    sampling: how tokens are chosen.
    stop: the strings that end a text, wherever they begin and end among its tokens.
    seed: the seed of the draws, 0 or above.
    slide: whether a text goes on where the model's longest text ends: from its first token and its
      last ones, which fill half of the model's length and are read anew.

  Raises:
    ValueError: for numbers out of range, or an empty stop string.
  """

  max_new_tokens: int = 128
  sampling: Sampling = Sampling()
  stop: tuple[str, ...] = ()
  seed: int = 0
  slide: bool = False

  def __post_init__(self):
    if self.max_new_tokens < 1:
      raise ValueError(f"max_new_tokens: found {self.max_new_tokens}, expected at least 1")
    if not all(self.stop):
      raise ValueError("stop: found an empty string, expected at least one character")
    if not 0 <= self.seed < 1 << 63:
      raise ValueError(f"seed: found {self.seed}, expected 0 or above, and below 2^63")


class TextModel:
  """A causal model with its tokenizer, which generates text.

  Args:
    encoder: the model; only a `GPT` or `Llama` can generate.
    tokenizer: the tokenizer that the model was trained with.
  """

  def __init__(self, encoder: Any, tokenizer: Tokenizer):
    self.encoder, self.tokenizer = encoder, tokenizer
    self._made: Generator | None = None

  @property
  def generator(self) -> Generator:
    """The generator of token ids, which keeps its compiled programs."""
    if self._made is None:
      if not isinstance(self.encoder, CausalModel):
        name = type(self.encoder).__name__
        raise UserError(f"a {name} cannot generate: expected a causal model, GPT or Llama")
      known, size = self.tokenizer, self.encoder.vocab_size
      if known.vocab_size > size:
        raise UserError(f"the tokenizer has {known.vocab_size} tokens, but the model knows {size}")
      # The model may have more numbers than the tokenizer has tokens.
      banned = {*known.special_ids, *range(known.vocab_size, size)}
      self._made = Generator(self.encoder, end_id=known.end_id, banned_ids=banned)
    return self._made

  def generate(
    self,
    prompts: str | Sequence[str],
    *,
    max_new_tokens: int = 128,
    temperature: float | int = 1.0,
    top_k: int | None = None,
    top_p: float | int = 1.0,
    stop: str | Sequence[str] = (),
    seed: int = 0,
    slide: bool = False,
    batch_size: int = 32,
  ) -> list[Completion]:
    """Generates a text after each prompt.

    Args:
      prompts: the prompts, each of which may be empty. One that is longer than the model can read
        loses its beginning, with a warning, see `Generator.start`.
      max_new_tokens: the largest number of new tokens a prompt, at least 1.
      temperature: the divisor of the logits; 0 always takes the best token.
      top_k: the number of best tokens to draw from; None is all.
      top_p: the probability mass of the fewest best tokens to draw from, in (0, 1].
      stop: the string, or the strings, that end a text.
      seed: the seed of the draws, which depend on the prompt's place among `prompts`, too.
      slide: whether texts go on beyond the model's length, see `GenerationOptions`.
      batch_size: the number of prompts at once; they are taken by length.

    Returns:
      One completion a prompt, in their order.

    Raises:
      ValueError: for a number out of range.
      UserError: for a model that cannot generate.
    """
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    options = GenerationOptions(
      max_new_tokens=max_new_tokens,
      sampling=Sampling(temperature=temperature, top_k=top_k, top_p=top_p),
      stop=(stop,) if isinstance(stop, str) else tuple(stop),
      seed=seed,
      slide=slide,
    )
    return self.complete(texts, options, batch_size=batch_size)

  def complete(
    self,
    prompts: Sequence[str],
    options: GenerationOptions = GenerationOptions(),
    *,
    batch_size: int = 32,
  ) -> list[Completion]:
    """Generates a text after each prompt as `generate` does, its settings in one argument.

    Args:
      prompts: the texts to go on after.
      options: the settings of the generation.
      batch_size: prompts at once, at least 1.
    """
    if batch_size < 1:
      raise ValueError(f"batch_size: found {batch_size}, expected at least 1")
    ids = [self.ids(text) for text in prompts]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    done: dict[int, Completion] = {}
    with tqdm(total=len(ids), unit=" prompts", leave=False, disable=None, delay=2) as progress:
      for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        done |= dict(zip(chosen, self._batch(ids, chosen, options), strict=True))
        progress.update(len(chosen))
    return [done[i] for i in range(len(ids))]

  def stream(
    self, prompt: str, options: GenerationOptions = GenerationOptions()
  ) -> collections.abc.Generator[str, None, Completion]:
    """Streams the text that `generate` would give for a single prompt, in pieces.

    Args:
      prompt: the prompt, which may be empty.
      options: the settings of text generation.

    Yields:
      One or more whole characters of the text, in their order.

    Returns:
      The whole, as `generate` has it.
    """
    writing = _Writing(self, [self.ids(prompt)], [0], options)
    for _ in writing:
      piece = writing.texts[0].new_text(writing.tokens[0], is_last=writing.is_done)
      if piece:
        yield piece
    return writing.completions()[0]

  def ids(self, text: str) -> list[int]:
    """The token ids of a prompt: the token that begins a document, then those of the text."""
    begin = self.tokenizer.begin_id
    return [*(() if begin is None else (begin,)), *self.tokenizer.encode(text)]

  def _batch(
    self, ids: list[list[int]], chosen: list[int], options: GenerationOptions
  ) -> list[Completion]:
    writing = _Writing(self, [ids[i] for i in chosen], chosen, options)
    for _ in writing:
      pass
    return writing.completions()


class _Writing:
  """Some texts while they are generated, window by window.

  Attributes:
    tokens: the new tokens of each so far.
    reasons: why each ended; None before.
    texts: the text of each.
  """

  def __init__(
    self,
    model: TextModel,
    ids: list[list[int]],
    indices: list[int],
    options: GenerationOptions,
  ):
    self._generator, self._ids, self._indices = model.generator, ids, indices
    self._options = options
    self.tokens: list[list[int]] = [[] for _ in ids]
    self.reasons: list[str | None] = [None] * len(ids)
    decode = model.tokenizer.decode
    self.texts = [Continuation(decode, prompt=prompt, stops=options.stop) for prompt in ids]

  @property
  def is_done(self) -> bool:
    """Whether all have ended."""
    return all(self.reasons)

  def __iter__(self) -> Iterator[None]:
    """Writes on; yields whenever there are more tokens."""
    rows, window = list(range(len(self._ids))), 0
    while rows:
      run = self._start(rows, window)
      while not run.is_done:
        _advance(run, [self.texts[row] for row in rows])
        for place, row in enumerate(rows):
          self.tokens[row], self.reasons[row] = run.tokens[place], run.reasons[place]
          if self._options.slide and self.reasons[row] == "context":
            self.reasons[row] = None
        yield
      rows, window = [row for row in rows if self.reasons[row] is None], window + 1

  def completions(self) -> list[Completion]:
    """The whole texts."""
    return [
      Completion(text.text(tokens), tokens, str(reason))
      for text, tokens, reason in zip(self.texts, self.tokens, self.reasons, strict=True)
    ]

  def _start(self, rows: list[int], window: int) -> Generation:
    whole = [[*self._ids[row], *self.tokens[row]] for row in rows]
    return self._generator.start(
      [self._generator.window(tokens) for tokens in whole] if window else whole,
      max_new_tokens=[self._options.max_new_tokens - len(self.tokens[row]) for row in rows],
      sampling=self._options.sampling,
      seed=self._options.seed,
      indices=[self._indices[row] for row in rows],
      before=[self.tokens[row] for row in rows],
      window=window,
    )


def _advance(run: Generation, texts: list[Continuation]) -> None:
  """Writes more tokens in each row, and ends rows in which they complete a stop string."""
  stopped = []
  for row in run.advance():
    end = texts[row].end(run.tokens[row])
    if end is not None:
      run.tokens[row] = run.tokens[row][:end]
      stopped.append(row)
  run.stop(stopped)


def load_model(
  workdir: str | Path,
  *,
  step: int | None = None,
  weights: Weights = "auto",
  allow: str | Iterable[str] = (),
) -> TextModel:
  """Loads the text model that a run trained, with its tokenizer.

  The arguments are those of `load_encoder`.

  Raises:
    UserError: for what `load_encoder` refuses, or a run without tokenizer.
  """
  return text_model(load(workdir, step=step, weights=weights, allow=allow), workdir=workdir)


def text_model(loaded: Loaded, *, workdir: str | Path) -> TextModel:
  """Makes the text model of a run that is loaded already.

  Args:
    loaded: the result of `load`.
    workdir: the run's folder, which holds the tokenizer, perhaps with "@STEP" behind.

  Raises:
    UserError: for a run without a tokenizer.
  """
  tokenizer = loaded.tokenizer
  if tokenizer is None:
    path = Reference.parse(workdir).folder / "tokenizer.json"
    what = "run" if loaded.source == "run" else "model"
    raise UserError(f"{path} is missing: expected a {what} that was trained on text")
  return TextModel(loaded.encoder, tokenizer)
