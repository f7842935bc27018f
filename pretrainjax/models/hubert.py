"""HuBERT: the network of wav2vec 2.0, trained on targets of its own."""

from pretrainjax.models.wav2vec2 import Wav2Vec2


class HuBERT(Wav2Vec2):
  """A `Wav2Vec2` by another name, so that what reads and writes weights can tell them apart.

  Reference: arXiv 2106.07447. Its arguments are those of `Wav2Vec2`.
  """
