"""Run the project's notebooks and check the rules for them.

    python tests/run_notebooks.py [--write] [NOTEBOOK ...]

Each notebook runs in a new process of this interpreter, in an empty folder, without network access.
Its numbers are not compared. A notebook fails on an error, a warning, a run time above three
minutes, a size above 900 KiB, or a violated rule of `broken_rules`. `--write` stores the new
outputs in the file.
"""

import argparse
import ast
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import matplotlib.font_manager  # noqa: F401  # builds its font cache, with a message, on a new machine
import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from traitlets import default

FOLDER = Path(__file__).parent.parent / "notebooks"
SECONDS = 180
KIB = 900
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

# Runs in the notebook's process before its first cell; it observes Python's own sockets only.
OFFLINE = """
def _refuse(event, args):
    if event not in ("socket.getaddrinfo", "socket.connect"):
        return
    address = args[event == "socket.connect"]
    host = address[0] if isinstance(address, tuple) else address
    path = event == "socket.connect" and not isinstance(address, tuple)
    if not path and host not in (None, "", "localhost", "127.0.0.1", "::1"):
        raise ConnectionRefusedError(f"notebooks have no network; this one connects to {host}")

import sys, warnings
sys.addaudithook(_refuse)
# Lightning warns in every run where SLURM is installed.
warnings.filterwarnings("ignore", "The `srun` command is available on your system")
del sys, warnings
"""


class ThisPython(AsyncKernelManager):
    """Start `python3` with this interpreter, regardless of the kernels that are installed."""

    @default("kernel_spec_manager")
    def _without_folders(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[])


def execute(notebook: NotebookNode, folder: str) -> None:
    """Run all cells in a folder and replace their outputs."""
    end = time.monotonic() + SECONDS
    NotebookClient(
        notebook,
        kernel_manager_class=ThisPython,
        kernel_name="python3",
        timeout_func=lambda cell: max(1, int(end - time.monotonic())),
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": folder}},
        extra_arguments=[f"--IPKernelApp.exec_lines={OFFLINE}", "--IPKernelApp.log_level=ERROR"],
    ).execute()


def broken_rules(notebook: NotebookNode) -> Iterator[str]:
    """Yield the rules of the project that a stored notebook violates."""
    first, code = notebook.cells[0], [c for c in notebook.cells if c.cell_type == "code"]
    if first.cell_type != "markdown" or "\n" in first.source or "learn" not in first.source.lower():
        yield "must start with one line that states what the reader will learn"
    source = "\n".join(line for c in code for line in c.source.split("\n") if line[:1] not in "%!")
    nodes = list(ast.walk(ast.parse(source)))
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            yield f"defines the class {node.name}; classes belong in rnn_lab"
    imports = [ast.unparse(n) for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
    if not any("rnn_lab" in line for line in imports):
        yield "does not import rnn_lab"
    if any(cell.execution_count is None for cell in code):
        yield "has no outputs: run this script with --write"
    yield from broken_outputs(notebook)


def broken_outputs(notebook: NotebookNode) -> Iterator[str]:
    """Yield the problems in the outputs of a notebook."""
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    for output in outputs:
        if output.output_type == "error" or output.get("name") == "stderr":
            yield f"has an error or a warning among its outputs: {str(output)[:300]}"
    text = nbformat.writes(notebook)
    for folder in (str(Path.home()), tempfile.gettempdir(), str(FOLDER.parent.resolve())):
        if len(folder) > 1 and f"{folder}/" in text:
            yield f"contains {folder}, a folder of this machine"
    if (size := len(text.encode()) / 1024) > KIB:
        yield f"has {size:.0f} KiB, the limit is {KIB}"


def run(path: Path, write: bool) -> list[str]:
    """Run one notebook and return its problems."""
    notebook = nbformat.read(path, as_version=4)
    problems = [] if write else list(broken_rules(notebook))
    with tempfile.TemporaryDirectory() as folder:
        try:
            execute(notebook, folder)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            return [*problems, str(error)]
    notebook.metadata = nbformat.from_dict(METADATA)
    problems += [problem for problem in broken_rules(notebook) if problem not in problems]
    if write and not problems:
        nbformat.write(notebook, path)
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="all of the project by default")
    parser.add_argument("--write", action="store_true", help="store the outputs in the file")
    options = parser.parse_args()
    failed = 0
    for path in options.notebooks or sorted(FOLDER.glob("*.ipynb")):
        start = time.monotonic()
        problems = run(path, options.write)
        failed += bool(problems)
        state = "fails" if problems else "ok"
        size = path.stat().st_size / 1024
        print(f"{path.name}: {state}, {time.monotonic() - start:.1f} s, {size:.0f} KiB", flush=True)
        for problem in problems:
            print(f"  {problem}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
