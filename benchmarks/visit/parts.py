"""The parts of a visit, in order of worth; each records what it finds as soon as it has it."""

import contextlib
import functools
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

from alternate import Side, alternate, ratio
from visit.checks import checked
from visit.kernels import KERNELS, cases
from visit.models import Model, models, unseen_flops
from visit.peers import tokens_of
from visit.side import OURS, PEER
from visit.visit import Visit

ROUNDS, TINY_ROUNDS = 5, 1
TURN, TINY_TURN = 1.0, 0.05  # seconds
# Models whose sides compile at the same time: PyTorch's compiler uses one core, mostly, and the
# memory of a GPU holds both sides of both.
TOGETHER = 2
_NO_ROOM = re.compile("out of memory|RESOURCE_EXHAUSTED", re.IGNORECASE)
BATCHES = {"generate": (1, 64), "sweep": (8, 16, 32, 64)}
TINY_BATCHES = {"generate": (2,), "sweep": (4,)}
DETERMINISTIC = {"XLA_FLAGS": "--xla_gpu_deterministic_ops=true"}
# So that every kernel is under its own name in the profile.
NO_GRAPHS = {"XLA_FLAGS": "--xla_gpu_enable_command_buffer="}


def checks(visit: Visit) -> None:
  """The machine, then losses, gradients, kernels of attention, and bits."""
  seconds = 0.01 if visit.sizes == "tiny" else 0.5
  with visit.process("checks") as process:
    visit.found["machine"] = process.ask(do="machine")
    is_cpu = visit.found["machine"]["backend"] == "cpu"
    for name in checked(visit.sizes):
      _ask(visit, process, "float32", name=name)
    kernels = [k for k in KERNELS if k != "cudnn" or not is_cpu]
    for name, kernel in itertools.product(cases(visit.sizes), kernels):
      _ask(visit, process, "attention", name=name, kernel=kernel, seconds=seconds)
    if is_cpu:  # that has no other way than the deterministic one
      _ask_for_bits(visit, process)
  if not is_cpu:
    with visit.process("checks", environment=DETERMINISTIC) as process:
      _ask_for_bits(visit, process)


def _ask_for_bits(visit: Visit, process: Side) -> None:
  names = list(checked(visit.sizes))
  for name in names[-1:] if visit.sizes == "tiny" else names:
    _ask(visit, process, "bits", name=name)


def _ask(visit: Visit, process: Side, check: str, **about: Any) -> None:
  def body() -> None:
    visit.record("checks", check=check, **about, **process.ask(do=check, **about))

  visit.attempt(body, part="checks", check=check, **about)


def steps(visit: Visit) -> None:
  """Training steps of all models, ours and the peer's."""
  names = list(models(visit.sizes))
  for start in range(0, len(names), TOGETHER):
    visit.attempt(
      functools.partial(_time_steps, visit, names[start : start + TOGETHER]), part="steps"
    )
  for name in _without_room(visit):
    visit.attempt(functools.partial(_time_steps, visit, [name]), part="steps")


def _without_room(visit: Visit) -> list[str]:
  """Models that ran out of memory beside another; their failures are taken back."""
  failed = visit.found["failed"]
  again = [row for row in failed if row["part"] == "steps" and _NO_ROOM.search(row["reason"])]
  visit.found["failed"] = [row for row in failed if row not in again]
  return list(dict.fromkeys(row["model"] for row in again))


def _time_steps(visit: Visit, names: Sequence[str]) -> None:
  """Some models: all their sides compile at once, then each model's sides take turns."""
  with contextlib.ExitStack() as stack:
    made = {n: _start_sides(visit, stack, "steps", f"--model={n}") for n in names}
    for name in names:
      body = functools.partial(_record_step, visit, name, made[name])
      visit.attempt(body, part="steps", model=name)


def _start_sides(visit: Visit, stack: Any, serve: str, *flags: str) -> dict[str, Side]:
  """Both sides, asked to be made; `_ready` waits until they are."""
  sides = {}
  for side in (PEER, OURS):
    sides[side] = stack.enter_context(visit.process(serve, f"--side={side}", *flags))
    sides[side].send(do="make")
  return sides


def _ready(visit: Visit, sides: dict[str, Side], **about: Any) -> dict[str, Side]:
  """The sides that could be made; what became of the others is reported."""
  ready = {}
  for name, side in sides.items():

    def body(name: str = name, side: Side = side) -> None:
      side.answer()
      ready[name] = side

    visit.attempt(body, side=name, **about)
  return ready


def _record_step(visit: Visit, name: str, sides: dict[str, Side]) -> None:
  model = models(visit.sizes)[name]
  sides = _ready(visit, sides, part="steps", model=name)
  times = _alternate(visit, sides)
  about = {side: process.ask(do="about") for side, process in sides.items()}
  for process in sides.values():
    process.kill()  # the next model wants the memory
  result: dict[str, Any] = {"model": name, "batch": model.batch, "seconds": times, "about": about}
  if OURS in about:
    result["flops"] = about[OURS]["flops"] - unseen_flops(model)
  if len(about) == 2:
    counts = {side: answers["num_parameters"] for side, answers in about.items()}
    if len(set(counts.values())) > 1:
      raise ValueError(f"these are not the same models: trained parameters {counts}")
    result |= _ratio(model, times)
  visit.record("steps", **result)


def _alternate(visit: Visit, sides: dict[str, Side]) -> dict[str, list[float]]:
  is_tiny = visit.sizes == "tiny"
  rounds, turn = (TINY_ROUNDS, TINY_TURN) if is_tiny else (ROUNDS, TURN)
  return alternate(sides, rounds=rounds, round_seconds=turn)


def _ratio(model: Model, times: dict[str, list[float]]) -> dict[str, Any]:
  """Ours by the peer's time: median, lowest, highest; of a token that is no padding, of text."""
  middle, low, high = ratio(times, OURS, PEER)
  if model.reads_images:
    return {"ratio": middle, "range": (low, high)}
  tokens = tokens_of(model)
  factor = tokens["peer"] / tokens["ours"]
  return {"ratio": middle * factor, "range": (low * factor, high * factor), "tokens": tokens}


def generate(visit: Visit) -> None:
  """Tokens a second of a GPT-2, ours and the peer's."""
  batches = TINY_BATCHES if visit.sizes == "tiny" else BATCHES
  for batch in batches["generate"]:
    visit.attempt(functools.partial(_record_generation, visit, batch), part="generate", batch=batch)


def _record_generation(visit: Visit, batch: int) -> None:
  sides: dict[str, Side] = {}
  with contextlib.ExitStack() as stack:
    for side in (PEER, OURS):  # the peer makes the weights
      flags = (f"--side={side}", f"--batch={batch}")
      sides[side] = stack.enter_context(visit.process("generate", *flags))
      sides[side].ask(do="make")
    times = _alternate(visit, sides)
    about = {side: process.ask(do="about") for side, process in sides.items()}
  ours, theirs = about[OURS].pop("tokens"), about[PEER].pop("tokens")
  equal = [_num_equal(a, b) for a, b in zip(ours, theirs, strict=True)]
  middle, low, high = ratio(times, PEER, OURS)  # of rates: seconds the other way round
  new_tokens = about[OURS]["new_tokens"]
  visit.record(
    "generate",
    batch=batch,
    tokens_per_second={s: new_tokens / sorted(t)[len(t) // 2] for s, t in times.items()},
    ratio=middle,
    range=(low, high),
    equal_tokens=sum(equal) / sum(map(len, theirs)),
    about=about,
  )


def _num_equal(ours: Sequence[int], theirs: Sequence[int]) -> int:
  """Tokens up to the first that differs: in bfloat16 near ties fall either way."""
  pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(ours, theirs, strict=True))
  return sum(1 for _ in pairs)


def profile(visit: Visit) -> None:
  """Where the time of the two steps goes that are worst beside the peer's."""
  rated = [r for r in visit.results("steps") if "ratio" in r]
  count = 1 if visit.sizes == "tiny" else 2
  for row in sorted(rated, key=lambda r: -r["ratio"])[:count]:
    body = functools.partial(_record_profile, visit, row["model"])
    visit.attempt(body, part="profile", model=row["model"])


def _record_profile(visit: Visit, name: str) -> None:
  environment = {} if visit.found["machine"]["backend"] == "cpu" else NO_GRAPHS
  accounts = {}
  for side in (OURS, PEER):
    flags = (f"--side={side}", f"--model={name}")
    with visit.process("steps", *flags, environment=environment) as process:
      process.ask(do="make")
      accounts[side] = process.ask(do="account")
  visit.record("profile", model=name, accounts=accounts)


def sweep(visit: Visit) -> None:
  """Batches, with all activations kept and with two ways to recompute them."""
  batches = (TINY_BATCHES if visit.sizes == "tiny" else BATCHES)["sweep"]
  for remat in ("none", "dots", "full"):
    body = functools.partial(_sweep_batches, visit, batches, remat)
    visit.attempt(body, part="sweep", remat=remat)


def _sweep_batches(visit: Visit, batches: Sequence[int], remat: str) -> None:
  """Larger and larger batches until one has no room."""
  with visit.process("sweep") as process:
    for batch in batches:
      found = process.ask(do="measure", batch=batch, remat=remat, steps=10)
      visit.record("sweep", batch=batch, remat=remat, **found)


PARTS: dict[str, Callable[[Visit], None]] = {
  "checks": checks,
  "steps": steps,
  "generate": generate,
  "profile": profile,
  "sweep": sweep,
}
