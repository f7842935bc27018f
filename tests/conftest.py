"""Strictness for all tests: shapes are checked, implicit broadcasts raise, warnings are errors."""

import gc
import os
from pathlib import Path

import jax
import jaxlib
import jaxtyping
import pytest

# Tests compile more than they compute: machine code made in a hurry saves a third of the time.
# JAX reads the flags when it is first used.
_HURRY = "--xla_backend_optimization_level=0"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_HURRY}".strip()

# Tracing makes so many objects that Python's collector, left as it is, takes a seventh of the time.
gc.set_threshold(100_000, 20, 50)

# Before anything of the package is imported: annotations are checked from here on.
jaxtyping.install_import_hook("pretrainjax", "beartype.beartype")

jax.config.update("jax_numpy_rank_promotion", "raise")
# Machine code of every program is kept for the other workers, for processes that tests start, and
# for the next run. Most of a first run's time goes into thousands of small ones.
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pretrainjax" / "tests"
jax.config.update("jax_compilation_cache_dir", str(_CACHE / f"jaxlib-{jaxlib.__version__}"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def pytest_configure(config: pytest.Config) -> None:
  """Turns warnings into errors, but for those that are not ours to mend, each with its reason."""
  for line in (
    "error",
    # Orbax and its dependencies warn of their own future.
    "ignore::DeprecationWarning:orbax.*",
    "ignore::DeprecationWarning:etils.*",
    "ignore::DeprecationWarning:tensorflow_datasets.*",
    "ignore::DeprecationWarning:google.*",
    "ignore::ResourceWarning:orbax.*",
    # Threads of Orbax and grain that end with the process.
    "ignore::pytest.PytestUnraisableExceptionWarning",
  ):
    config.addinivalue_line("filterwarnings", line)


# Of the 65,530 pieces of memory that Linux lets a process map; a compiled program takes several.
_MAX_MAPPED = 20_000


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
  """Lets go of compiled programs where there are many: at Linux's limit XLA dies of a fault."""
  yield
  maps = Path("/proc/self/maps")
  if maps.exists() and len(maps.read_bytes().splitlines()) > _MAX_MAPPED:
    jax.clear_caches()
    gc.collect()


@pytest.hookimpl(tryfirst=True)  # before pytest looks at marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
  """Marks the tests that repeats.txt leaves out of the default run, for time alone."""
  root = Path(__file__).parent
  names = {*(root / "repeats.txt").read_text().splitlines()}
  for item in items:
    name = item.path.relative_to(root).as_posix() + item.nodeid[item.nodeid.index("::") :]
    if item.path.is_relative_to(root) and name in names:
      item.add_marker(pytest.mark.repeat)


def pytest_addoption(parser: pytest.Parser) -> None:
  """Adds the flags that rewrite golden files, and that say where trials of faults are noted."""
  parser.addoption("--renew-golden", action="store_true", help="rewrite tests/golden")
  parser.addoption("--trials", metavar="FILE", help="append a JSON line a fault's trial to FILE")


@pytest.fixture
def golden(request: pytest.FixtureRequest):
  """Returns `check(name, text)`: compares with tests/golden/NAME, or rewrites it."""

  def check(name: str, text: str) -> None:
    path = Path(__file__).parent / "golden" / name
    if request.config.getoption("--renew-golden"):
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text(text)
    assert path.is_file(), f"{path} is missing: --renew-golden writes it"
    assert text == path.read_text(), "if this is wanted: --renew-golden, and read the difference"

  return check
