"""What tests of faults leave behind: a line a trial, for `make faults`.

One file a row of the fault matrix, test_NN_name.py, whose docstring begins with the fault. A test
takes the fixture `trial` and calls it once for each fault that was survived; what fails an assert
is a trial that was not.
"""

import ast
import dataclasses
import functools
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import binaries
import groups
import pytest
import synthetic


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
  """Lets the fixture know how the test itself went."""
  report = yield
  if report.when == "call":
    item.stash[_PASSED] = report.passed
  return report


_PASSED = pytest.StashKey[bool]()


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> Iterator[Callable[..., None]]:
  """`trial(lost_steps=3, seconds=1.5)` notes that one fault was survived.

  lost_steps: of training, that had to be done again; None where a fault costs none by nature.
  seconds: from the fault until the run goes on, or until it has said what is wrong.
  """
  survived: list[dict[str, Any]] = []
  start = time.monotonic()

  def note(*, lost_steps: int | None = None, seconds: float | None = None) -> None:
    survived.append({"survived": True, "lost_steps": lost_steps, "seconds": seconds})

  yield note
  config, module = request.config, Path(request.path)
  path = config.getoption("--trials")
  if path is None or _PASSED not in request.node.stash:  # skipped
    return
  if not request.node.stash[_PASSED]:
    survived = [{"survived": False, "lost_steps": None, "seconds": None}]
  assert survived, "the test took `trial` and noted none"
  fault = ast.get_docstring(ast.parse(module.read_text())).splitlines()[0].rstrip(".")
  about = {"row": int(module.stem.split("_")[1]), "fault": fault, "test": request.node.name}
  about["took"] = round(time.monotonic() - start, 1)
  path = config.invocation_params.dir / path  # the test may have gone to another folder
  with open(path, "a") as file:  # one write a line: two processes may append
    file.write("".join(json.dumps(about | one) + "\n" for one in survived))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
  """A prepared dataset."""
  folder = tmp_path_factory.mktemp("data")
  synthetic.prepare("fashion_mnist", folder)
  return folder


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Callable[[groups.Layout], Path]:
  """`calm(layout)`: the workdir of a `Group` that nothing disturbed."""

  @functools.cache
  def run(layout: groups.Layout) -> Path:
    group = groups.Group(tmp_path_factory.mktemp("calm") / "run", data, layout)
    group.to_the_end()
    return group.workdir

  return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Any:
  """A small run that came to its end, to be copied and damaged."""
  run = Finished(tmp_path_factory.mktemp("finished") / "run", data)
  ended = binaries.finish(binaries.start("pretrain", *run.command(run.workdir)))
  assert ended.status == 0, ended.errors
  return run


@dataclasses.dataclass(frozen=True)
class Finished:
  """A run with checkpoints of steps 2 and 4, the last."""

  workdir: Path
  data: Path

  def command(self, workdir: Path, *more: str) -> tuple[str, ...]:
    """The arguments of `pretrain` that made it, for a workdir."""
    steps = ("--config.train.duration.steps=4", "--config.train.checkpoint_every=2")
    where = (f"--workdir={workdir}", f"--data_dir={self.data}")
    return f"--config={binaries.MAE}", *where, *steps, *binaries.QUICK, *more

  def copy(self, workdir: Path) -> Path:
    """The same again, for someone to damage."""
    return Path(shutil.copytree(self.workdir, workdir))
