"""Compiled kernels of recurrent layers on a CPU, which are optional.

`rnn-lab kernels build` compiles the C++ sources in this folder into the user's cache. Layers then
use the kernels by themselves for float32 and float64; everywhere else, and without them, they
compute the same with PyTorch. `RNN_LAB_NATIVE=0` turns the kernels off.
"""
