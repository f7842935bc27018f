"""Lets torchvision of PyPI be imported beside torch for CPUs, as timm and transformers do it.

Two of its operators are in neither; declared, they are missed by nobody who does not call them.
"""

try:
  import torchvision  # noqa: F401
except ModuleNotFoundError:  # or torch is missing
  pass
except RuntimeError:
  import torch

  _library = torch.library.Library("torchvision", "DEF")  # as long as it is referred to
  for _name in ("nms", "qnms"):
    _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
