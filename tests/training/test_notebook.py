"""The settings of a notebook, in a process of its own, as they concern the whole process."""

import subprocess
import sys

CODE = """
import logging, warnings
import torch
import rnn_lab

warnings.simplefilter("error")
rnn_lab.configure_notebook()
logging.getLogger("rnn_lab.training").info("epoch 1")
logging.getLogger("lightning.pytorch").info("GPU available")
warnings.warn("The 'train_dataloader' does not have many workers which may be a bottleneck.")
try:
    warnings.warn("something else")
except UserWarning as error:
    print(error)
print(torch.get_num_threads())
"""


def test_a_notebook_logs_epochs_and_hides_harmless_warnings_only():
    process = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert process.stdout.splitlines() == ["epoch 1", "something else", "1"], process.stderr
    assert process.stderr == ""
