"""Fine-tunes a causal language model on prompts and responses of your own, scored on responses.

The set: `prepare text --source=FOLDER --name=prompts --config.form.kind=examples
--config.tokenizer.path=WORKDIR/tokenizer.json`, of .jsonl with a prompt and its response.

The checkpoint is chosen by "validation": the set's validation split, or 5% that are then not
trained on. The test texts are measured once, at the end.

Give --config.init=WORKDIR[@STEP], of gpt_sotu.py or another causal model. get_config(arg): "smoke"
two steps of a tiny model.

Command:  pretrainjax finetune --config=gpt_responses --workdir=runs/gpt_responses \\
            --config.init=runs/gpt_sotu
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import text, training
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.perplexity import Perplexity
from pretrainjax.objectives.autoregressive.causal_lm import CausalLM


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  config = text.finetuning(
    smoke=smoke,
    learning_rate=2e-4,
    warmup=0.05,
    objective=spec(CausalLM, backbone=text.gpt(smoke, dropout=0.1)),
    data=text.own("prompts", smoke=smoke, pair="prompt"),
    evals=text.judged("prompts", Perplexity, smoke=smoke, pair="prompt", head="causal"),
    **training.chosen_by("validation/loss", every=text.EVERY, mode="min"),
  )
  return training.from_checkpoint(config)
