"""GPT-2 in small on the State of the Union, for two CPU cores; a folder of your own does as well.

The recipe of nanoGPT: AdamW with b2 .95, weight decay .1, gradients clipped at 1, warmup and cosine
to a tenth. Ours departs in size, and in a higher learning rate for the few steps. Another text:
`prepare text --source=FOLDER --name=books`, then --datasets=books.

get_config(arg): "long" is what docs/results.md shows; "short" takes a tenth of the
steps, "smoke" two steps of a tiny model.

Command:  pretrainjax pretrain --config=gpt_sotu:long --workdir=runs/gpt_sotu
Minutes:  22, on two cores of an AMD EPYC; 6 without ":long"
Expected: 1.360 bits per byte on the test speeches, 1.574 without ":long"; unigrams 2.024
"""

from ml_collections import ConfigDict

from configs.blocks import text, training
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.objectives.autoregressive.causal_lm import CausalLM

STEPS = {None: 600, "long": 2400, "short": 60, "smoke": 2}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *STEPS)
  smoke, steps = arg == "smoke", STEPS[arg]
  return training.run(
    objective=spec(CausalLM, backbone=text.gpt(smoke, max_length=None, dropout=0.1)),
    data=text.data(datasets="sotu", length=text.GPT_LENGTH, batch_size=8 if smoke else 16),
    optimizer=text.language_model_optimizer(1e-3, warmup=steps // 20),
    duration=training.steps(steps),
    log_every=1 if smoke else 50,
    checkpoint_every=600,
    evals=text.language_model_evals(head="causal", every=600, smoke=smoke),
  )
