"""Subcommands that need no Trainer, one file each."""
