"""Fine-tunes a causal language model on prompts and responses of your own, scored on responses.

The set: `prepare text --source=FOLDER --name=prompts --config.form.kind=examples
--config.tokenizer.path=WORKDIR/tokenizer.json`, of .jsonl with a prompt and its response.

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
  test = text.data(
    datasets="prompts",
    split="test[:64]" if smoke else "test",
    batch_size=16 if smoke else 50,
    length=None,
    pair="prompt",
  )
  config = training.run(
    objective=spec(CausalLM, backbone=text.gpt(smoke, dropout=0.1)),
    data=text.data(datasets="prompts", batch_size=8 if smoke else 32, pair="prompt"),
    optimizer=text.finetuning_optimizer(2e-4, warmup=0.05),
    duration=training.steps(2) if smoke else training.epochs(3),
    log_every=1 if smoke else 20,
    evals=ConfigDict({"responses": spec(Perplexity, data=test, head="causal")}),
  )
  return training.from_checkpoint(config)
