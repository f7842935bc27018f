import platform

import jax
import pytest

from pretrainjax.process import backend


@pytest.fixture(autouse=True)
def restored():
  names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
  kept = {name: getattr(jax.config, name) for name in names}
  yield
  for name, value in kept.items():
    jax.config.update(name, value)


def test_compiled_programs_are_kept_by_version_and_processor(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  jax.config.update("jax_compilation_cache_dir", None)
  backend.set_up()
  folder = jax.config.jax_compilation_cache_dir
  assert folder.startswith(f"{tmp_path}/pretrainjax/xla/jaxlib-{jax.lib.__version__}")
  assert folder.endswith(f"-{platform.machine()}-{backend._cpu_name()}")


def test_a_folder_that_the_user_gave_to_jax_stays(tmp_path):
  jax.config.update("jax_compilation_cache_dir", str(tmp_path))
  backend.set_up()
  assert jax.config.jax_compilation_cache_dir == str(tmp_path)


def test_the_flags_for_determinism_come_too_late_here(monkeypatch):
  monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
  assert jax.device_count() and backend.set_xla_flags()
