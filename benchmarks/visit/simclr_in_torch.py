"""SimCLR in PyTorch on transformers' ResNet: two views of an image find each other."""

import torch
import transformers

TEMPERATURE = 0.1
_DEPTHS = {10: ("basic", (1, 1, 1, 1)), 50: ("bottleneck", (3, 4, 6, 3))}


class SimCLR(torch.nn.Module):
  """ResNet, a perceptron, and NT-Xent (arXiv 2002.05709), as our `SimCLR`.

  Args:
    depth: 10 or 50.
  """

  def __init__(self, depth: int):
    super().__init__()
    layer, depths = _DEPTHS[depth]
    width = 2048 if layer == "bottleneck" else 512
    sizes = [width // 8, width // 4, width // 2, width]
    config = transformers.ResNetConfig(layer_type=layer, depths=list(depths), hidden_sizes=sizes)
    self.config = config
    self.encoder = transformers.ResNetModel(config).to(memory_format=torch.channels_last)
    self.projector = torch.nn.Sequential(
      torch.nn.Linear(width, 2048, bias=False),
      torch.nn.BatchNorm1d(2048),
      torch.nn.ReLU(),
      torch.nn.Linear(2048, 128),
    )

  def forward(self, pixel_values: torch.Tensor) -> transformers.utils.ModelOutput:
    """The loss of views "2B C H W", the two of an image being neighbours."""
    pixels = pixel_values.to(memory_format=torch.channels_last)
    pooled = self.encoder(pixels).pooler_output.flatten(1)
    views = torch.nn.functional.normalize(self.projector(pooled).float(), dim=-1)
    logits = views @ views.T / TEMPERATURE
    rows = torch.arange(len(views), device=views.device)
    logits = logits.masked_fill(rows[:, None] == rows[None], float("-inf"))
    loss = torch.nn.functional.cross_entropy(logits, rows ^ 1)
    return transformers.utils.ModelOutput(loss=loss)
