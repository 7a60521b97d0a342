"""Compiling the kernels: what can go wrong is one line, and leaves nothing behind."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rnn_lab.errors import UserError
from rnn_lab.nn.native.build import build, check_library, compile_library
from rnn_lab.nn.native.library import SOURCES, cache_folder, find

pytestmark = pytest.mark.usefixtures("unset")
LIMIT = 1800  # seconds: a minute of computing may take many on a machine with other work


def compiles(test: Callable) -> Callable:
    """Mark a test that compiles all kernels."""
    return pytest.mark.slow(pytest.mark.timeout(LIMIT)(test))


def compiler(path: Path, script: str) -> str:
    """Write a program that is called as a compiler."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def entries() -> list[str]:
    return [path.name for path in cache_folder().iterdir() if path.suffix != ".lock"]


def test_a_machine_without_compiler_is_told_what_to_install(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"^there is no C\+\+ compiler: install g\+\+ or clang\+\+"):
        build()
    assert entries() == []


def test_a_chosen_compiler_must_exist(monkeypatch):
    with pytest.raises(UserError, match=r"^nothing-cc is not found: install"):
        build("nothing-cc")
    monkeypatch.setenv("CXX", "other-cc")
    with pytest.raises(UserError, match=r"^other-cc is not found: install"):
        build()


def test_a_failing_compiler_costs_one_line(tmp_path):
    failing = compiler(tmp_path / "cc", "echo note >&2; echo 'gru.cpp:3: error: bad' >&2; exit 1")
    with pytest.raises(
        UserError, match=r"^the kernels cannot be built: cc: gru.cpp:3: error: bad$"
    ):
        build(failing)
    assert entries() == []


def test_a_silent_compiler_costs_one_line(tmp_path):
    with pytest.raises(UserError, match="cc: exit status 3"):
        build(compiler(tmp_path / "cc", "exit 3"))


@pytest.mark.slow
def test_a_library_that_cannot_be_loaded_is_not_kept(tmp_path):
    useless = compiler(tmp_path / "cc", 'for last; do :; done; echo nothing > "$last"')
    with pytest.raises(UserError, match="the compiled kernels cannot be loaded"):
        build(useless)
    assert entries() == []


def test_a_folder_that_others_can_write_gets_no_library(tmp_path):
    (tmp_path / "open").mkdir(mode=0o700)
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(UserError, match="open can be written by other users: compiled kernels are"):
        build(folder=tmp_path / "open")


@compiles
def test_two_builds_at_once_give_one_library(library_path):
    assert library_path.exists()  # a compiler exists
    command = [sys.executable, "-m", "rnn_lab", "kernels", "build"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate()[0] for process in processes)
    assert first == second == f"{find().path}\n"
    assert len(entries()) == 1


@compiles
def test_kernels_that_differ_from_pytorch_are_not_kept(library_path, tmp_path, monkeypatch):
    sources = shutil.copytree(SOURCES, tmp_path / "sources")
    text = (sources / "gru.cpp").read_text()
    (sources / "gru.cpp").write_text(text.replace("u[0] + sums[0]", "u[0] - sums[0]"))
    monkeypatch.setattr("rnn_lab.nn.native.build.SOURCES", sources)
    with pytest.raises(UserError, match=r"the compiled kernel of GRU differs from PyTorch"):
        build(folder=tmp_path / "wrong")
    assert [p for p in (tmp_path / "wrong").iterdir() if p.suffix != ".lock"] == []


@compiles
def test_the_kernels_have_no_memory_errors(library_path, tmp_path):
    gcc = shutil.which("g++")
    if gcc is None:
        pytest.skip("AddressSanitizer is preloaded as g++ ships it")
    command = [gcc, "-print-file-name=libasan.so"]
    preload = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    flags = ["-fsanitize=address", "-fno-omit-frame-pointer", "-O1"]
    checked = compile_library(gcc, tmp_path, flags)
    options = {"LD_PRELOAD": preload, "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0"}
    check_library(checked, {**options, "PATH": os.environ["PATH"]})
