"""The text of a compiled program (HLO), taken apart: computations, instructions, loops."""

import functools
import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

# "%name = type opcode(operands), attributes"; layouts such as {1,0:T(8,128)} hold no blank.
_INSTRUCTION = re.compile(r"\s*(ROOT )?%([\w.\-]+) = (.*?) ([a-z][a-z0-9\-]*)\((.*)")
_COMPUTATION = re.compile(r"(ENTRY )?%([\w.\-]+) \(.*\) -> .*\{")
_NAME = re.compile(r"%([\w.\-]+)")
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,<= ]*)\]")
_BITS = {"pred": 8, "token": 0, "opaque": 0}


class Instruction(NamedTuple):
  """One instruction of a compiled program, a line of its text.

  Attributes:
    name: unique in the program.
    is_root: whether it is what the computation returns.
    type: the type of the result, "f32[64,16]{1,0}".
    opcode: the name of the operation, such as "fusion".
    operands: the names of the instructions whose results it takes.
    inside: what stands between the parentheses.
    attributes: what stands behind them.
  """

  name: str
  is_root: bool
  type: str
  opcode: str
  operands: tuple[str, ...]
  inside: str
  attributes: str

  def called(self, attribute: str) -> str | None:
    """The computation that an attribute names, `to_apply=%name`; None without it."""
    match = re.search(rf"\b{attribute}=%([\w.\-]+)", self.attributes)
    return match.group(1) if match else None

  @property
  def source(self) -> str:
    """The operation of our code, "jit(train_step)/...", "" where that was lost."""
    match = re.search(r'op_name="([^"]*)"', self.attributes)
    return match.group(1) if match else ""


class Computation(NamedTuple):
  """A function of the program: its instructions by name, in order."""

  instructions: Mapping[str, Instruction]

  def users(self, name: str) -> list[Instruction]:
    """The instructions that take the result of `name`."""
    return [i for i in self.instructions.values() if name in i.operands]


class Program(NamedTuple):
  """A compiled program, read from its text.

  Attributes:
    computations: all functions of the program by name.
    entry: the name of the function that the program begins with.
    num_devices: the number of devices that run it together.
  """

  computations: Mapping[str, Computation]
  entry: str
  num_devices: int


def parse(text: str) -> Program:
  """Parses the text of a compiled program.

  Args:
    text: the text of `jax.stages.Compiled.as_text()`.

  Raises:
    ValueError: for a text without an entry.
  """
  computations, entry, current = {}, None, None
  for line in text.splitlines():
    if match := _COMPUTATION.match(line):
      current = {}
      computations[match.group(2)] = Computation(current)
      entry = match.group(2) if match.group(1) else entry
    elif line.startswith("}"):
      current = None
    elif current is not None and (match := _INSTRUCTION.match(line)):
      instruction = _instruction(match)
      current[instruction.name] = instruction
  if entry is None:
    raise ValueError("the program has no ENTRY: is it the text of a compiled one?")
  first = text.partition("\n")[0]
  counts = [int(n) for n in re.findall(r"(?:num_partitions|replica_count)=(\d+)", first)]
  return Program(computations, entry, math.prod(counts))


def sizes(type_text: str) -> list[int]:
  """The bytes of each array of a type.

  >>> sizes("(f32[64,16]{1,0}, bf16[33]{0}, s4[7], pred[])")
  [4096, 66, 4, 1]
  """
  return [_bytes(dtype, dimensions) for dtype, dimensions in _ARRAY.findall(type_text)]


def trip_count(loop: Instruction, program: Program) -> int | None:
  """How often the body of a `while` runs, None where the text does not tell.

  XLA notes it for loops that it understands. Where it did not, the condition of a `lax.scan`
  compares a counter from 0 with a constant, the only one there.
  """
  if match := re.search(r'"known_trip_count":\{"n":"(\d+)"\}', loop.attributes):
    return int(match.group(1))
  condition = program.computations[loop.called("condition") or ""]
  constants = [
    int(i.inside)
    for i in condition.instructions.values()
    if i.opcode == "constant" and i.inside.isdigit()
  ]
  return constants[0] if len(constants) == 1 else None


def branches(instruction: Instruction) -> list[str]:
  """The names of the computations that a `conditional` chooses from."""
  if match := re.search(r"branch_computations=\{([^}]*)\}", instruction.attributes):
    return _NAME.findall(match.group(1))
  names = (instruction.called(f"{word}_computation") for word in ("true", "false"))
  return [name for name in names if name]


def calls(instruction: Instruction) -> Iterator[str]:
  """The names of the computations that an instruction runs once; none of loops and branches."""
  for attribute in ("calls", "to_apply", "called_computations"):
    if name := instruction.called(attribute):
      yield name


def _instruction(match: re.Match) -> Instruction:
  root, name, type_text, opcode, rest = match.groups()
  depth, end = 1, len(rest)
  for place, character in enumerate(rest):
    depth += {"(": 1, ")": -1}.get(character, 0)
    if depth == 0:
      end = place
      break
  inside = rest[:end]
  operands = tuple(_NAME.findall(inside))
  return Instruction(name, bool(root), type_text, opcode, operands, inside, rest[end + 1 :])


def _bytes(dtype: str, dimensions: str) -> int:
  lengths = [int(n.strip().removeprefix("<=")) for n in dimensions.split(",") if n.strip()]
  return -(-math.prod(lengths) * _bits(dtype) // 8)


@functools.cache
def _bits(dtype: str) -> int:
  """The bits of one number: the first digits in the name, "bf16", "f8e4m3fn", "u32"; c64 has 64."""
  if dtype in _BITS:
    return _BITS[dtype]
  match = re.search(r"\d+", dtype)
  return int(match.group()) if match else 0
