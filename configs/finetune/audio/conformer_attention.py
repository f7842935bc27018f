"""Fine-tunes a Conformer to write down what is said, by CTC and a decoder with attention together.

All is as in conformer_ctc.py, the sets, forms, `init` and the choice of the checkpoint too, but for
a decoder of two layers beside the head (arXiv 1609.06773, with the weight of CTC of 1804.00015).
"validation" and "test" decode the head, "test_attention" what the decoder writes.

Command:  pretrainjax finetune --config=conformer_attention --workdir=runs/conformer_attention \\
            --config.init=runs/best_rq_sounds
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import sounds
from configs.finetune.audio import conformer_ctc
from pretrainjax.config import recipe, spec
from pretrainjax.evaluators.word_errors import WordErrors
from pretrainjax.models.whisper import WhisperDecoder
from pretrainjax.objectives.supervised.attention_ctc import AttentionCTC

DECODER = {"num_layers": 2, "num_heads": 4, "mlp_dim": 576}
SIZES = {
  "base": {"num_layers": 6, "num_heads": 8, "mlp_dim": 2304, "dtype": "bfloat16"},
  "smoke": {"num_layers": 1, "num_heads": 2, "mlp_dim": 32},
}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  config = conformer_ctc.get_config(arg)
  decoder = recipe(
    WhisperDecoder,
    vocab_size=None,
    embed_dim=None,
    start_id=None,
    end_id=None,
    pad_id=None,
    hears_padding=False,
    dropout=0.1,
    **SIZES.get(arg, DECODER),
  )
  kept = ("backbone", "head", "vocab_size", "blank_id", "special_ids", "spec_augment")
  same = {name: config.objective[name] for name in kept}
  config.objective = spec(AttentionCTC, decoder=decoder, **same)
  said = {"text_length": None, "max_seconds": None}
  size = None if arg == "scratch" else arg
  test = sounds.still(size, split="test", **said)
  config.evals.test_attention = spec(WordErrors, data=test, decoding="attention")
  return config
