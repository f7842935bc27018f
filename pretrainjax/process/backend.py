"""JAX's process-wide settings, which binaries make: the compilation cache, determinism."""

import os
import platform
import sys
import zlib
from pathlib import Path

from pretrainjax.process import determinism


def set_xla_flags() -> bool:
  """Sets the flags of XLA for determinism; returns whether XLA had started, and missed them."""
  os.environ["XLA_FLAGS"] = determinism.xla_flags(os.environ.get("XLA_FLAGS", ""))
  bridge = sys.modules.get("jax._src.xla_bridge")
  return bridge is not None and bridge.backends_are_initialized()


def check_devices(started_before: bool) -> None:
  """Starts the backend, and refuses devices that cannot be deterministic.

  Args:
    started_before: whether the backend had started before XLA's flags were set.

  Raises:
    UserError: see `determinism.check_device`.
  """
  import jax

  determinism.check_device(
    jax.default_backend(),
    version=jax.devices()[0].client.platform_version,
    num_devices=jax.device_count(),
    started_before=started_before,
    environ=os.environ,
  )


def set_up() -> None:
  """Switches on the persistent compilation cache, in a folder named by jaxlib and processor.

  A folder that the user gave to JAX (`JAX_COMPILATION_CACHE_DIR`) stays, with its settings.
  """
  import jax  # not before flags are known to be good: a mistake should be told at once
  import jaxlib

  if jax.config.jax_compilation_cache_dir is not None:
    return
  cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pretrainjax" / "xla"
  name = f"jaxlib-{jaxlib.__version__}-{platform.machine()}-{_cpu_name()}"
  jax.config.update("jax_compilation_cache_dir", str(cache / name))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _cpu_name() -> str:
  """A checksum of the processor's model and features: entries made for another one may crash."""
  try:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    return platform.processor() or "cpu"
  facts = sorted({line for line in lines if line.startswith(("model name", "flags"))})
  return f"{zlib.crc32(''.join(facts).encode()):08x}"
