"""The threads of PyTorch are found where it uses GNU OpenMP."""

import ctypes
import sys
from pathlib import Path

import pytest
import torch

from rnn_lab.nn.native import openmp
from rnn_lab.nn.native.openmp import find_openmp


@pytest.mark.skipif(
    sys.platform != "linux" or "USE_OPENMP=ON" not in torch.__config__.show(),
    reason="PyTorch uses GNU OpenMP on Linux",
)
def test_a_function_runs_in_the_threads_of_pytorch():
    library = find_openmp()
    calls = []
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(calls.append)
    library.GOMP_parallel(ctypes.cast(function, ctypes.c_void_p), None, 2, 0)
    assert calls == [None, None]


def test_without_gnu_openmp_there_is_none(monkeypatch):
    monkeypatch.setattr(openmp, "Path", lambda _: Path("no maps"))
    assert find_openmp() is None
