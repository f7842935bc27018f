"""Guards of the tree: order of imports, names and sizes of files, a test beside each module."""

import ast
import builtins
import functools
import symtable
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pretrainjax"

# A module imports only from its own layer and those above it.
LAYERS = (
  ("errors", "ranges", "types", "user_path", "collectives", "untrusted"),
  ("process",),
  ("config",),
  ("data",),
  ("prepare",),
  ("models/layers",),
  ("models",),
  ("augment", "masking", "losses"),
  ("objectives",),
  ("convert",),
  ("checkpoint",),
  ("generation",),
  ("workdir",),
  ("train",),
  ("evaluators",),
  ("report",),
  ("command_line", "command", "training", "measurement", "predict", "export", "benchmark"),
  ("prepare/command", "config/command"),
  ("pretrain", "finetune", "evaluate", "prepare/__main__", "config/__main__", "__main__"),
)
# What a user starts, and what settles the process that it runs in.
BINARIES = (
  "command_line",
  "command",
  "training",
  "measurement",
  "pretrain",
  "finetune",
  "evaluate",
  "export/reload",
  *(f"{folder}/command" for folder in ("prepare", "config", "predict", "export", "benchmark")),
  *(f"process/{name}" for name in ("backend", "cluster", "determinism", "ending", "heartbeats")),
)
# The progress bar is for a person; so are the verbs of `predict` and `benchmark`.
PRINTS = (
  *BINARIES,
  "train/progress",
  *(f"predict/{verb}" for verb in ("answer", "classify", "fill_mask", "generate_text", "ngrams")),
  *(f"predict/{verb}" for verb in ("recommend", "similar_items", "sound_task", "start_items")),
  *(f"predict/embed{kind}" for kind in ("", "_images", "_sounds")),
  *(f"benchmark/{verb}" for verb in ("plan", "step_time", "data_rate")),
)
# Outside of the layers: what research code imports, lazily.
TOP = "__init__.py"
# What config files import is offered in one place.
NOT_EMPTY = {TOP, "config/__init__.py"}
BANNED_NAMES = {"utils", "util", "common", "misc", "helpers", "helper"}
BANNED_IMPORTS = {"tensorflow", "torch", "transformers", "pickle"}
MAX_LINES = 400
MAX_LINES_OF_A_FUNCTION = 60
# Names that each module has by itself.
OF_MODULES = {"__file__", "__name__", "__doc__"}
# Tests of several modules at once.
MIRRORS_NOTHING = {"test_sharded.py"}

# Modules whose tests stand elsewhere, and where.
COVERED_BY = {
  "__main__.py": "tests/cases/test_output.py",
  "config/__main__.py": "tests/cases/test_output.py",
  "config/command.py": "tests/test_config_commands.py",
  "predict/__main__.py": "tests/cases/test_output.py",
  "predict/command.py": "tests/test_predict.py",
  "export/__main__.py": "tests/cases/test_output.py",
  "export/command.py": "tests/test_export.py",
  "export/check.py": "tests/parity/test_round_trip.py",
  "export/check_towers.py": "tests/parity/test_round_trip.py",
  "export/folders.py": "tests/test_export.py",
  "export/made.py": "tests/export/test_forms.py",
  "export/peft.py": "tests/parity/test_peft.py",
  "export/sounds.py": "tests/parity/test_round_trip.py",
  "export/stablehlo.py": "tests/export/test_forms.py",
  "benchmark/__main__.py": "tests/cases/test_output.py",
  "benchmark/command.py": "tests/test_benchmark.py",
  "data/field.py": "tests/data/test_dataset.py",
  "data/load.py": "tests/data/test_pipeline.py",
  "data/fields/audio.py": "tests/data/test_audio_data.py",
  "data/fields/image.py": "tests/data/test_image_data.py",
  "data/fields/items.py": "tests/data/test_item_data.py",
  "data/fields/text.py": "tests/data/test_text_data.py",
  "data/fields/together.py": "tests/data/test_dataset.py",
  "prepare/__main__.py": "tests/cases/test_output.py",
  "prepare/command.py": "tests/test_prepare.py",
  "prepare/config.py": "tests/test_prepare.py",
  "prepare/contract.py": "tests/prepare/image/test_preparation.py",
  "prepare/job.py": "tests/prepare/image/test_preparation.py",
  "prepare/report.py": "tests/test_prepare.py",
  "prepare/run.py": "tests/test_prepare.py",
  "prepare/stages/collect.py": "tests/prepare/text/test_preparation.py",
  "prepare/text/collector.py": "tests/prepare/text/test_preparation.py",
  "prepare/image/sets/digits.py": "tests/test_prepare.py",
  "prepare/audio/columns.py": "tests/prepare/audio/test_metadata.py",
  "prepare/audio/example.py": "tests/prepare/audio/test_preparation.py",
  "prepare/audio/table.py": "tests/prepare/audio/test_preparation.py",
  "prepare/audio/told.py": "tests/prepare/audio/test_folder.py",
  "prepare/audio/transcripts.py": "tests/prepare/audio/test_preparation.py",
  "prepare/stages/example_table.py": "tests/prepare/image/test_table.py",
  "prepare/text/document.py": "tests/prepare/text/test_preparation.py",
  "prepare/text/encode.py": "tests/prepare/text/test_preparation.py",
  "prepare/text/form.py": "tests/prepare/text/test_preparation.py",
  "prepare/stages/shards.py": "tests/prepare/text/test_preparation.py",
  "types.py": "tests/test_every_config.py",
  "errors.py": "tests/test_command.py",
  "command_line.py": "tests/test_command.py",
  "training.py": "tests/faults/test_01_killed.py",
  "pretrain.py": "tests/faults/test_01_killed.py",
  "finetune.py": "tests/end_to_end/test_main_job.py",
  "evaluate.py": "tests/cases/test_output.py",
  "measurement.py": "tests/end_to_end/test_main_job.py",
  "objectives/base.py": "tests/objectives/masked/test_mae.py",
  "train/state.py": "tests/train/test_step.py",
  "predict/parts.py": "tests/predict/test_embed.py",
  "predict/encoded_inputs.py": "tests/predict/test_embed_images.py",
  "predict/feature_file.py": "tests/predict/test_embed_images.py",
  "predict/class_file.py": "tests/predict/test_classify.py",
  "predict/text_inputs.py": "tests/predict/test_classify.py",
  "predict/ctc_transcripts.py": "tests/predict/test_transcribe.py",
  "predict/sound_task.py": "tests/predict/test_transcribe.py",
  "evaluators/base.py": "tests/evaluators/test_knn.py",
  "checkpoint/sealed.py": "tests/checkpoint/test_meta.py",
  "report/figure.py": "tests/report/test_confusion.py",
}


def modules() -> list[str]:
  """Paths below the package, "train/step.py"."""
  return sorted(p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py"))


@functools.cache
def tree(module: str) -> ast.Module:
  return ast.parse((PACKAGE / module).read_text(encoding="utf-8"))


def layer(module: str) -> int:
  """The position of "train/step.py" in LAYERS."""
  names = [n for names in LAYERS for n in names]
  stem = module.removesuffix(".py")
  found = max((n for n in names if f"{stem}/".startswith(f"{n}/")), key=len, default=None)
  assert found is not None, f"pretrainjax/{module} is in no layer: add it to LAYERS"
  return next(i for i, names in enumerate(LAYERS) if found in names)


def imports(module: str) -> Iterator[tuple[int, str]]:
  """(line, dotted name) of everything imported anywhere in a module."""
  for node in ast.walk(tree(module)):
    if isinstance(node, ast.Import):
      yield from ((node.lineno, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{module}:{node.lineno}: relative imports hide the layer"
      yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def own(name: str) -> str | None:
  """The module of ours that a dotted name is, or is in; None for other packages."""
  parts = name.split(".")
  if parts[0] != "pretrainjax":
    return None
  for length in (len(parts), len(parts) - 1):
    candidate = "/".join(parts[1:length]) + ".py"
    if (PACKAGE / candidate).is_file():
      return candidate
  return None


def none(problems: Iterable[str]) -> None:
  """Fails with every problem on a line of its own."""
  found = list(problems)
  assert not found, "\n".join(["", *found])


def test_modules_import_only_from_above():
  none(
    f"pretrainjax/{module}:{line} imports {name}, which is in a layer below it"
    for module in modules()
    for line, name in imports(module)
    if module != TOP and (target := own(name)) and target != TOP and layer(target) > layer(module)
  )


def test_nothing_heavy_or_unsafe_is_imported():
  none(
    f"pretrainjax/{module}:{line} imports {name}"
    for module in modules()
    for line, name in imports(module)
    if name.split(".")[0] in BANNED_IMPORTS
  )


def test_the_layers_have_no_cycles():
  """Within one layer too: of two modules at most one imports the other, however indirectly."""
  graph = {m: {own(n) for _, n in imports(m)} - {None, m} for m in modules()}
  done: set[str] = set()

  def visit(module: str, path: tuple[str, ...]) -> None:
    assert module not in path, f"a cycle of imports: {' -> '.join([*path, module])}"
    if module not in done:
      for target in graph[module]:
        visit(target, (*path, module))
      done.add(module)

  for module in graph:
    visit(module, ())


def test_package_files_are_empty():
  none(
    f"pretrainjax/{module} must be empty"
    for module in modules()
    if module.endswith("__init__.py") and module not in NOT_EMPTY and (PACKAGE / module).read_text()
  )


def process_wide(module: str) -> Iterator[str]:
  """What a module does to the process it runs in."""
  for node in ast.walk(tree(module)):
    if isinstance(node, ast.Call):
      name = ast.unparse(node.func)
      if name == "print" and module.removesuffix(".py") not in PRINTS:
        yield f"pretrainjax/{module}:{node.lineno} prints: return it, or log it"
      if name in ("jax.config.update", "os.putenv", "os.environ.update", "os.environ.setdefault"):
        yield f"pretrainjax/{module}:{node.lineno} calls {name}: only binaries may"
    if isinstance(node, (ast.Assign, ast.Delete)):
      for target in node.targets:
        if ast.unparse(target).startswith(("os.environ", "jax.config")):
          yield f"pretrainjax/{module}:{node.lineno} sets {ast.unparse(target)}: only binaries may"


def test_only_binaries_touch_the_process():
  for module in modules():
    if module.removesuffix(".py") not in BINARIES:
      none(process_wide(module))


# What a module may know of the process it runs in, beside command.py; with the reason.
KNOWS = {
  "process/backend.py": {"os.environ", "jax.config"},  # the binaries' settings of JAX
  "process/ending.py": {"os.environ"},  # what of it JAX refused
  "data/dataset_folder.py": {"os.environ"},  # $PRETRAINJAX_DATA
  "data/pipeline.py": {"absl"},  # grain's workers read its flags
  "benchmark/command.py": {"sys.argv", "jax.config"},  # likewise; what is timed must not be cached
  "export/command.py": {"jax.config"},  # it leaves accelerators to a trainer beside it
  "export/reload.py": {"sys.argv", "jax.config"},  # a program by itself, likewise
  "benchmark/simulate.py": {"os.environ"},  # of the process that simulates devices
  "predict/command.py": {"sys.argv"},  # its first argument is a verb of its own
}


def test_only_the_shell_reads_the_process():
  """Environment, arguments and JAX's switches are arguments by the time they come further in."""
  problems = []
  for module in modules():
    found = {ast.unparse(n) for n in ast.walk(tree(module)) if isinstance(n, ast.Attribute)}
    known = found & {"os.environ", "os.getenv", "sys.argv", "jax.config"}
    known |= {name.split(".")[0] for _, name in imports(module)} & {"absl"}
    if module != "command.py" and known - KNOWS.get(module, set()):
      problems.append(f"pretrainjax/{module}: {', '.join(known - KNOWS.get(module, set()))}")
  none(problems)


def test_nothing_is_registered():
  """No table of names: configs import the classes they use."""
  none(
    f"pretrainjax/{module}:{node.lineno}: @{ast.unparse(decorator)}"
    for module in modules()
    for node in ast.walk(tree(module))
    if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    for decorator in node.decorator_list
    if "regist" in ast.unparse(decorator).lower()
  )


# What tells a modality; "label" and "valid" belong to none.
ARRAYS = {"image", "tokens", "segments", "types", "audio", "events"}
# They say what they read, and what there is.
KNOW_ARRAYS = ("models/", "data/")


def asks_for_an_array(node: ast.AST) -> bool:
  """Whether code tests which of ARRAYS are there: "image" in batch, batch.get("image")."""
  if isinstance(node, ast.Compare) and any(type(op).__name__.endswith("In") for op in node.ops):
    names = [node.left]
  elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("batch.get"):
    names = node.args[:1]
  else:
    return False
  return any(isinstance(name, ast.Constant) and name.value in ARRAYS for name in names)


def test_nobody_guesses_a_modality_by_its_arrays():
  """An encoder says what it reads of a batch, the data what they are."""
  assert asks_for_an_array(ast.parse("'image' not in batch", mode="eval").body)
  assert asks_for_an_array(ast.parse("self.batch.get('tokens')", mode="eval").body)
  assert not asks_for_an_array(ast.parse("'label' in batch", mode="eval").body)
  none(
    f"pretrainjax/{module}:{node.lineno} asks for an array: {ast.unparse(node)}"
    for module in modules()
    if not module.startswith(KNOW_ARRAYS)
    for node in ast.walk(tree(module))
    if asks_for_an_array(node)
  )


def python_files() -> list[Path]:
  """Those of the repository, in the folders that are ours."""
  folders = ("pretrainjax", "configs", "tests", "benchmarks", "launch")
  return sorted(p for folder in folders for p in (ROOT / folder).rglob("*.py"))


def test_files_are_small_ascii_and_named_for_what_is_in_them():
  for path in python_files():
    text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT)
    assert text.count("\n") <= MAX_LINES, f"{name}: above {MAX_LINES} lines"
    assert text.isascii(), f"{name}: not ASCII"
    assert not {path.stem, path.parent.name} & BANNED_NAMES, f"{name}: say what is in it"


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
  """How many lines a function has beside its docstring."""
  docstring = ast.get_docstring(function, clean=False) or ""
  return function.end_lineno - function.lineno + 1 - len(docstring.splitlines())


def test_functions_are_short():
  for module in modules():
    for node in ast.walk(tree(module)):
      if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        count = lines_of(node)
        assert count <= MAX_LINES_OF_A_FUNCTION, f"{module}: {node.name} has {count} lines"


def scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
  """A scope and all those within it."""
  yield table
  for inner in table.get_children():
    yield from scopes(inner)


def test_every_name_is_bound():
  """Linters cannot tell: to them the shapes of annotations are names that nobody binds."""
  problems = []
  for module in modules():
    path = ROOT / "pretrainjax" / module
    whole = symtable.symtable(path.read_text(encoding="utf-8"), str(path), "exec")
    bound = {s.get_name() for s in whole.get_symbols() if s.is_assigned() or s.is_imported()}
    bound |= {table.get_name() for table in whole.get_children()} | set(dir(builtins))
    for scope in scopes(whole):
      names = {s.get_name() for s in scope.get_symbols() if s.is_global() and s.is_referenced()}
      problems += [f"pretrainjax/{module}: {name}" for name in sorted(names - bound - OF_MODULES)]
  none(problems)


def test_every_module_has_a_test():
  problems = []
  for module in modules():
    if module.endswith("__init__.py"):
      continue
    mirror = Path("tests") / Path(module).parent / f"test_{Path(module).name}"
    elsewhere = COVERED_BY.get(module)
    if elsewhere is None and not (ROOT / mirror).is_file():
      problems.append(f"pretrainjax/{module} has no {mirror}")
    if elsewhere is not None and not (ROOT / elsewhere).is_file():
      problems.append(f"{elsewhere}, said to cover {module}, is missing")
    if elsewhere is not None and (ROOT / mirror).is_file():
      problems.append(f"{module} has {mirror}: take it out of COVERED_BY")
  none(problems)


def test_every_test_has_a_module():
  """A test file in a folder of the package mirrors a module, so that it can be found."""
  folders = {p.name for p in PACKAGE.iterdir() if p.is_dir()}
  for path in (ROOT / "tests").rglob("test_*.py"):
    relative = path.relative_to(ROOT / "tests")
    module = PACKAGE / relative.with_name(relative.name.removeprefix("test_"))
    if relative.parts[0] in folders and path.name not in MIRRORS_NOTHING:
      assert module.is_file(), f"tests/{relative} mirrors no module"


def test_what_is_left_out_for_time_is_there():
  """Each line of tests/repeats.txt names a function of a file."""
  lines = (ROOT / "tests" / "repeats.txt").read_text().splitlines()
  assert lines == sorted({*lines})
  for line in lines:
    file, _, name = line.partition("::")
    path = ROOT / "tests" / file
    assert path.is_file() and f"def {name.partition('[')[0]}(" in path.read_text(), line
