"""Programs taken apart."""

import jax
import jax.numpy as jnp
import pytest

from pretrainjax.benchmark.program_text import calls, parse, sizes, trip_count


def test_sizes():
  assert sizes("f32[64,16]{1,0:T(8,128)}") == [4096]
  assert sizes("(f32[], /*index=1*/bf16[3,5]{1,0}, u8[7], c64[2], f8e4m3fn[9], token[])") == [
    4,
    30,
    7,
    16,
    9,
    0,
  ]


@pytest.fixture(scope="module")
def program():
  def loop(x):
    return jax.lax.scan(lambda x, _: (jnp.sin(x) @ x, None), x, None, length=6)[0]

  return parse(jax.jit(loop).lower(jnp.ones((4, 4))).compile().as_text())


def test_a_compiled_program_is_read(program):
  entry = program.computations[program.entry]
  assert program.num_devices == 1
  assert [i.opcode for i in entry.instructions.values()].count("parameter") == 1
  assert sum(i.is_root for i in entry.instructions.values()) == 1
  for computation in program.computations.values():
    known = set(computation.instructions)
    for instruction in computation.instructions.values():
      assert set(instruction.operands) <= known, instruction
      assert all(name in program.computations for name in calls(instruction))


def test_rounds_of_a_loop(program):
  loops = [
    i for c in program.computations.values() for i in c.instructions.values() if i.opcode == "while"
  ]
  assert [trip_count(loop, program) for loop in loops] == [6]
  unnoted = loops[0]._replace(attributes=loops[0].attributes.replace("known_trip", "other"))
  assert trip_count(unnoted, program) == 6


def test_another_text_is_refused():
  with pytest.raises(ValueError, match="no ENTRY"):
    parse("module @jit_f {}")
