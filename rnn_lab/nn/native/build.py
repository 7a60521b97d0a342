"""Compile the kernels of this package into the user's cache."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from rnn_lab.errors import UserError
from rnn_lab.io.cache import get_or_build
from rnn_lab.nn.native.library import LIBRARY, SOURCES, VARIABLE, cache_folder, cache_key, refusal

# -ffast-math is not among them: it would change results from compiler to compiler.
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-pthread")
COMPILERS = ("c++", "g++", "clang++")
CPU_FLAGS = ("-march=native", "-mcpu=native")  # the first that the compiler accepts


def build(compiler: str | None = None, folder: Path | None = None) -> Path:
    """Compile the kernels, unless they are in the cache.

    They are compared with plain PyTorch in a process of their own before they are used.

    Args:
        compiler: C++ compiler; None for that in `CXX`, or the first of `c++`, `g++` and `clang++`.
        folder: Folder of the cache; None for that of the user.

    Returns:
        The library.

    Raises:
        UserError: If there is no compiler, it fails, the kernels differ from PyTorch, or the folder
            can be written by other users.
    """
    folder = folder or cache_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    reason = refusal(folder)
    if reason:
        raise UserError(f"{reason}: compiled kernels are not kept there")

    def write(entry: Path) -> None:
        check_library(compile_library(_find_compiler(compiler), entry))

    return get_or_build(folder, cache_key(), write) / LIBRARY


def _find_compiler(chosen: str | None) -> str:
    chosen = chosen or os.environ.get("CXX")
    paths = (shutil.which(name) for name in ([chosen] if chosen else COMPILERS))
    found = next((path for path in paths if path), None)
    if found:
        return found
    missing = f"{chosen} is not found" if chosen else "there is no C++ compiler"
    raise UserError(f"{missing}: install g++ or clang++, or set CXX to a compiler")


def compile_library(compiler: str, folder: Path, flags: Sequence[str] = ()) -> Path:
    """Compile all sources, each in a process of its own.

    Args:
        compiler: Path of the compiler.
        folder: Where to write the library.
        flags: Further flags of the compiler.

    Returns:
        The library.

    Raises:
        UserError: If the compiler fails.
    """
    sources, library = sorted(SOURCES.glob("*.cpp")), folder / LIBRARY
    with TemporaryDirectory() as temporary:
        objects = [str(Path(temporary, f"{source.stem}.o")) for source in sources]
        options = [*FLAGS, *_cpu_flags(compiler, Path(temporary)), *flags]
        commands = [
            [compiler, *options, "-c", str(source), "-o", target]
            for source, target in zip(sources, objects, strict=True)
        ]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(_run, commands))
        _run([compiler, "-shared", "-pthread", *flags, *objects, "-o", str(library)])
    return library


def check_library(library: Path, variables: Mapping[str, str] | None = None) -> None:
    """Compare the kernels of a library with plain PyTorch, in a process of its own.

    Args:
        library: The library.
        variables: Environment variables of that process.

    Raises:
        UserError: If they differ, or the process fails.
    """
    command = [sys.executable, "-m", "rnn_lab.nn.native.check"]
    _run(command, {VARIABLE: str(library), "OMP_NUM_THREADS": "1", **(variables or {})})


def _cpu_flags(compiler: str, folder: Path) -> list[str]:
    """Return the flag for all instructions of this CPU, if the compiler knows one."""
    source = folder / "empty.cpp"
    source.write_text("int main() { return 0; }\n", encoding="utf-8")
    for flag in CPU_FLAGS:
        command = [compiler, flag, "-Werror", "-c", str(source), "-o", str(folder / "empty.o")]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return [flag]
    return []


def _run(command: list[str], variables: Mapping[str, str] | None = None) -> None:
    environment = {**os.environ, **(variables or {})}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines()
        errors = [line for line in lines if "error" in line.lower()] or lines[-1:]
        reason = errors[0] if errors else f"exit status {result.returncode}"
        raise UserError(f"the kernels cannot be built: {Path(command[0]).name}: {reason}")
