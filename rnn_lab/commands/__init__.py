"""The subcommands of `rnn-lab`, one file each."""
