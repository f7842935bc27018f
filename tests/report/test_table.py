import math

from pretrainjax.config import recipe, spec
from pretrainjax.evaluators.knn import KNN
from pretrainjax.evaluators.results import Row
from pretrainjax.report.table import class_table, config_table, markdown_table, results_table


def row(evaluator, metric, value, *, encoder="trained"):
  step = 300 if encoder == "trained" else None
  protocol = {
    "k": [20],
    "train": {"class": "ImageData", "datasets": "digits", "split": "train"},
    "test": {"class": "ImageData", "datasets": "digits", "split": "test[:9]"},
    "max_train": None,
  }
  return Row(
    evaluator=evaluator,
    metric=metric,
    value=value,
    encoder=encoder,
    checkpoint="/w",
    step=step,
    protocol=protocol,
  )


ROWS = [
  row("knn", "top1_k20_t0.07", 0.81234),
  row("probe", "nll", 0.51),
  row("probe", "l2", 1e-3),
  row("probe", "class/Bag", 0.25),
  row("probe", "class/Coat", math.nan),
  row("knn", "top1_k20_t0.07", 0.62, encoder="random-init"),
  row("probe", "l2", 1e-2, encoder="random-init"),
  row("probe", "class/Bag", 0.5, encoder="random-init"),
]


def cells(table):
  lines = [line.strip("|").split("|") for line in table.splitlines() if "|" in line]
  return [[cell.strip() for cell in line] for line in lines]


def test_results_stand_beside_the_random_encoders():
  table = cells(results_table(ROWS))
  columns = ["evaluator", "number", "split", "trained (step 300)", "random init", "difference"]
  assert table[0] == columns
  assert table[2:] == [
    ["knn", "top1_k20_t0.07", "test[:9]", "81.23 %", "62.00 %", "+19.23"],
    ["probe", "nll", "test[:9]", "0.51", "-", "-"],
    ["probe", "l2", "test[:9]", "0.001", "0.01", "-"],
  ]


def test_a_part_of_a_split_is_named():
  one = row("knn", "top1_k20_t0.07", 0.5)
  for name, part in (("test", "held_out"), ("train", "all")):
    one.protocol[name]["part"] = part
  table = results_table([one])
  assert cells(table)[2][2] == "test[:9] held_out"
  assert "train digits train;" in table and "test digits test[:9] held_out" in table


def test_a_part_of_the_labels_is_named():
  parts = {
    "(0.01 of the labels, seed 3)": {"label_fraction": 0.01, "examples_per_class": None},
    "(5 examples a class, seed 3)": {"label_fraction": 1.0, "examples_per_class": 5},
  }
  for words, fields in parts.items():
    one = row("knn", "top1_k20_t0.07", 0.5)
    one.protocol["train"] |= fields | {"label_seed": 3}
    assert f"train digits train {words};" in results_table([one])


def test_without_a_random_encoder_its_columns_are_left_out():
  table = cells(results_table(one for one in ROWS if one.encoder == "trained"))
  assert table[0] == ["evaluator", "number", "split", "trained (step 300)"]
  assert table[2] == ["knn", "top1_k20_t0.07", "test[:9]", "81.23 %"]


def test_protocols_stand_below():
  text = results_table(ROWS)
  assert "knn: k 20; train digits train" in text and "max_train" not in text
  assert results_table([]) == "(no results)"


def test_classes_have_a_table_of_their_own():
  assert cells(class_table(ROWS, evaluator="probe"))[2:] == [
    ["Bag", "25.00 %", "50.00 %", "-25.00"],
    ["Coat", "-", "-", "-"],
  ]


def test_markdown_table_is_aligned_in_plain_text():
  body = [("long name", "1"), ("b|c", "10.5")]
  lines = markdown_table(("a", "value"), body, right=(1,)).splitlines()
  assert len({len(line) for line in lines}) == 1
  assert lines[1] == "| --------- | ----: |"
  assert "b\\|c" in lines[3]


def test_config_table_names_everything_once_and_fits():
  config = spec(KNN, train=None, test=None)
  whole = type(config)({"seed": 3, "evals": {"knn": config}}, sort_keys=False)
  whole.backbone = recipe(
    Row,
    **dict.fromkeys(("evaluator", "metric", "value"), "x" * 40),
    encoder="e",
    checkpoint="c",
    step=1,
    protocol="p",
  )
  text = config_table(whole)
  assert max(map(len, text.splitlines())) <= 100
  lines = text.splitlines()
  assert lines[0].split() == ["run", "seed=3"]
  assert lines[1].split()[0] == "evals.knn" and "KNN(name=knn" in lines[1]
  assert "temperature=(0.07,0.1)" in text and "max_train" not in text and "_target" not in text
  assert "Row(evaluator=" in text


def test_config_table_does_not_repeat_itself():
  config = type(spec(KNN, train=None, test=None))({}, sort_keys=False)
  config.first, config.second = (spec(KNN, train=None, test=None) for _ in range(2))
  config.third = spec(KNN, train=None, test=None, k=(1,))
  lines = config_table(config).splitlines()
  assert "second  as first" in lines[1] or "second  as first" in lines[2]
  assert sum("KNN(" in line for line in lines) == 2
