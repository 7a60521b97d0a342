"""An experiment framework for recurrent networks on PyTorch Lightning."""

__version__ = "0.1.0"
