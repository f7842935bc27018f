import functools

import pytest
from flax import nnx

from pretrainjax.errors import UserError
from pretrainjax.models.heads import Pooler
from pretrainjax.models.mlp import MLP
from pretrainjax.objectives.imported import Imported

BACKBONE = functools.partial(MLP, image_size=4, embed_dim=8)


def test_networks_are_parts_by_name():
  objective = Imported(backbone=BACKBONE, pooler=functools.partial(Pooler, embed_dim=8))
  module = objective.init(rngs=nnx.Rngs(0))
  assert sorted(objective.parts(module)) == ["encoder", "pooler"]
  assert objective.encoder(module) is module.encoder


def test_it_trains_nothing():
  objective = Imported(backbone=BACKBONE)
  with pytest.raises(UserError, match="trains nothing"):
    objective.loss(objective.init(rngs=nnx.Rngs(0)), {}, rngs=nnx.Rngs(0), step=0)
