"""A damaged entry of the compilation cache: a warning, and the program is compiled anew."""

import jax
import pytest
from trials import JIT, Trial, assert_same


@pytest.fixture
def cache(tmp_path):
  """A folder of compiled programs that this test's runs share with nobody."""
  kept = jax.config.jax_compilation_cache_dir
  jax.config.update("jax_compilation_cache_dir", str(tmp_path / "cache"))
  yield tmp_path / "cache"
  jax.config.update("jax_compilation_cache_dir", kept)


@pytest.mark.slow
def test_damaged_entries_change_no_bit(tmp_path, cache, data, trial):
  good, bad = (Trial(tmp_path / name, data, JIT) for name in ("good", "bad"))
  good.to_the_end()
  entries = list(cache.rglob("*-cache"))
  assert entries
  for i, path in enumerate(entries):
    content = path.read_bytes()
    path.write_bytes(b"" if i % 3 == 0 else content[: len(content) // 2] if i % 3 == 1 else b"odd")
  ended = bad.to_the_end()
  assert any("compilation cache" in line for line in ended.errors), ended.errors
  assert_same(good.workdir, bad.workdir)
  trial(lost_steps=0)
