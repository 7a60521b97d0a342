"""Train a model on data.

Examples:
    rnn-lab fit -c sst2 --seeds=1,2,3 --jobs=2 --test=true
    rnn-lab fit --model=BiLSTMClassifier --data=TextFiles --data.train=train.csv
    rnn-lab fit -c attention_translator --test=true
    rnn-lab fit --model=LSTMForecaster --data=ForecastingFiles --data.file=load.csv

Options:
    --model NAME: architecture, or a class path of your own: my_package.MyModel
    --model.help NAME: show the options of a model, such as --model.hidden_dim
    --data NAME: data, or a class path of your own
    --data.help NAME: show the options of data, such as --data.batch_size
    -c CONFIG: file or name of a config; later ones and options override it
    --print_config: print the resulting config, which -c reads, and exit
    --experiment
    --name
    --overwrite
    --test
    --wandb
    --ckpt_path FILE: checkpoint to resume; with --name, `last` starts the run or resumes it, and
        `best` resumes from its best checkpoint
    --init_from
    --seed_everything INT: random seed
    --seeds
    --jobs
    --model.optimizer NAME: optimizer, such as AdamW; then also --model.optimizer.lr
    --model.scheduler NAME: learning-rate schedule, such as CosineDecay
    --early_stopping.patience
    --trainer.max_epochs
    --trainer.accelerator NAME: cpu, gpu or auto
    --trainer.devices INT: number of GPUs or processes
    --trainer.precision NAME: precision, such as bf16-mixed
    --trainer.fast_dev_run: run one batch of every stage as a trial, and write nothing
"""

from collections.abc import Sequence

from rnn_lab.commands._parsing import split_options
from rnn_lab.commands._training import run


def main(options: Sequence[str]) -> int:
    """Train a model on data.

    Args:
        options: Command-line arguments after `fit`.

    Returns:
        The exit status, see `rnn_lab.commands._training.run`; with `--seeds`, 1 if a run failed.
    """
    names = {option[0].partition("=")[0] for option in split_options(options)}
    if names & {"--seeds", "--jobs"} and not names & {"-h", "--help"}:
        from rnn_lab.commands._seeds import run_seeds

        return run_seeds(options)
    return run("fit", options)
