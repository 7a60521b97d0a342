"""A config is shown with a comment at each line, which changes nothing in it."""

import re

import pytest
import yaml

from rnn_lab.commands._config_comments import commented
from rnn_lab.commands._configs import shipped_configs

CONFIGS = shipped_configs()


@pytest.mark.parametrize("name", CONFIGS)
def test_each_line_of_a_shipped_config_has_a_comment(name):
    text = CONFIGS[name].read_text()
    shown = commented(text)
    assert yaml.safe_load(shown) == yaml.safe_load(text)
    lines = shown.splitlines()
    assert max(map(len, lines[text.count("\n#") + 1 :])) <= 100
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        assert "# " in line or after.strip().startswith("# "), line


def test_a_comment_of_the_config_is_kept_and_others_come_from_docstrings():
    text = """\
# What it is.
model:
  class_path: LSTMClassifier
  init_args:
    hidden_dim: 8  # few units
    optimizer:
      class_path: torch.optim.Adam
# Above.
trainer:
  callbacks:
    - class_path: lightning.pytorch.callbacks.ModelCheckpoint
      init_args:
        save_top_k: 2
"""
    shown = commented(text)
    assert shown.startswith("# What it is.\n")
    assert "\n# Above.\n" in shown
    assert re.search("hidden_dim: 8 +# Few units\n", shown)
    assert re.search("class_path: LSTMClassifier +# Text classifier on", shown)
    assert "# Arguments of ModelCheckpoint." in shown
    assert yaml.safe_load(shown) == yaml.safe_load(text)
