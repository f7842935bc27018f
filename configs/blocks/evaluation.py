"""How encoders are measured on a dataset: the same protocol everywhere."""

from ml_collections import ConfigDict

from pretrainjax.config import spec
from pretrainjax.evaluators.collapse import Collapse
from pretrainjax.evaluators.knn import KNN
from pretrainjax.evaluators.linear_probe import LinearProbe


def frozen_features(*, train: ConfigDict, test: ConfigDict, solver: str = "lbfgs") -> ConfigDict:
  """kNN, a linear probe and collapse of frozen features."""
  config = ConfigDict({"seed": 0}, sort_keys=False)
  config.evals = {
    "knn": spec(KNN, train=train, test=test),
    "linear_probe": spec(LinearProbe, train=train, test=test, solver=solver),
    "collapse": spec(Collapse, data=test),
  }
  return config
