"""JAX's process-wide settings, which binaries make: the compilation cache, determinism."""

import importlib.util
import mmap
import os
import platform
import re
import subprocess
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path

from pretrainjax.errors import UserError, one_line

# Has XLA read its flags, in a tenth of a second.
_TRIAL = "import jaxlib.xla_client; jaxlib.xla_client.make_cpu_client()"
_TRIAL_SECONDS = 60


def check_environment(environ: Mapping[str, str]) -> None:
  """Refuses what would end the process with status 1 when JAX starts, after which it is restarted.

  Args:
    environ: the environment variables, XLA_FLAGS among them.

  Raises:
    UserError: for a flag that XLA does not know, or a value that it cannot read.
  """
  if environ.get("JAX_NUM_CPU_DEVICES") == "0":
    raise UserError("JAX_NUM_CPU_DEVICES: found 0, expected at least 1")
  if environ.get("XLA_FLAGS", "").strip():
    _check_names(environ)
    _try_flags(environ)


def mistake_in_environment(error: ValueError, environ: Mapping[str, str]) -> str | None:
  """What a person is told of a variable that JAX refused when it was imported; None for others.

  Args:
    error: what the import raised.
    environ: the environment variables.
  """
  text = str(error).lower()
  for name in sorted((n for n in environ if n.startswith("JAX_")), key=len, reverse=True):
    low = name.lower()
    if re.search(rf"\b({low}|{low.replace('_', '.', 1)})\b", text):
      return f"{name}: found '{environ[name]}', which JAX does not take ({one_line(error)[:200]})"
  return None


def _check_names(environ: Mapping[str, str]) -> None:
  """Refuses flags that XLA does not know, as its library spells none of the name."""
  names = re.findall(r"(?:^|\s)--?(xla_\w+)", environ.get("XLA_FLAGS", ""))
  package = importlib.util.find_spec("jaxlib")
  library = Path(package.origin or "").parent / "libjax_common.so" if package else Path()
  if not names or not library.is_file():
    return
  with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as code:
    for name in names:  # the name of each flag stands in it as a word
      if code.find(b"%b\0" % name.encode()) < 0:
        raise _unknown(f"--{name}")


def _try_flags(environ: Mapping[str, str]) -> None:
  """Lets XLA read its flags in another process: it ends the one in which it cannot."""
  command = [sys.executable, "-P", "-c", _TRIAL]
  try:
    trial = subprocess.run(
      command, env=dict(environ), capture_output=True, timeout=_TRIAL_SECONDS, check=False
    )
  except (OSError, subprocess.TimeoutExpired):  # then XLA says it itself
    return
  said = trial.stderr.decode(errors="replace")
  if trial.returncode and (found := re.search(r"interpret value (.*) for flag (\w+)\.", said)):
    value, name = found.groups()
    kind = re.search(rf"^\s*--{name}=.*?\t(\w+)\t", said, re.MULTILINE)
    raise UserError(
      f"XLA_FLAGS: found --{name}={value}, expected {kind[1] if kind else 'another value'}"
    )
  if trial.returncode and (found := re.search(r"Unknown flags? in XLA_FLAGS: (.*)", said)):
    raise _unknown(found[1].strip())
  if trial.returncode and "Could not open file" in said:
    raise UserError(
      f"XLA_FLAGS: found '{environ['XLA_FLAGS'].strip()}', expected flags that begin with --, or a "
      "file of them"
    )


def _unknown(flag: str) -> UserError:
  return UserError(f"XLA_FLAGS: found {flag}, expected flags that this jaxlib's XLA knows")


def start(environ: Mapping[str, str]) -> None:
  """Starts JAX's backend.

  Args:
    environ: the environment variables, JAX_PLATFORMS among them.

  Raises:
    UserError: where JAX_PLATFORMS, or JAX_PLATFORM_NAME, asks for devices that are not there.
  """
  import jax

  try:
    jax.devices()
  except (RuntimeError, AssertionError) as error:  # JAX asserts that some backend was found
    name = next((n for n in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME") if environ.get(n)), None)
    if name is None:
      raise
    there = ", ".join(sorted(_platforms()))
    reason = f" ({one_line(error)[:200]})" if str(error) else ""
    raise UserError(
      f"{name}: found {environ[name]}, but the devices here are: {there}{reason}"
    ) from error


def _platforms() -> set[str]:
  """The platforms of this machine's devices, whatever JAX_PLATFORMS says."""
  import jax
  from jax.extend.backend import clear_backends

  chosen = jax.config.jax_platforms
  try:
    jax.config.update("jax_platforms", None)
    clear_backends()
    return {device.platform for device in jax.devices()}
  finally:
    jax.config.update("jax_platforms", chosen)


def set_xla_flags() -> bool:
  """Sets the flags of XLA for determinism; returns whether XLA had started, and missed them."""
  from pretrainjax.process import determinism  # with what reads configs

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

  from pretrainjax.process import determinism

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
