"""Run the project's notebooks and hold them to their rules.

    python tests/run_notebooks.py [--write] [NOTEBOOK ...]

Each runs in a new process of this interpreter, in an empty folder, and is refused any connection
to another machine. Its numbers are compared with nothing; what fails is an error, a warning, more
than three minutes, more than 900 KiB, or a broken rule of `broken_rules`. `--write` keeps the new
outputs in the file.
"""

import argparse
import ast
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import matplotlib.font_manager  # noqa: F401  # on a new machine it reads all fonts, and says so
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

# Run in the notebook's process before its first cell. Only Python's own sockets are watched.
OFFLINE = """
def _refuse(event, args):
    if event not in ("socket.getaddrinfo", "socket.connect"):
        return
    address = args[event == "socket.connect"]
    host = address[0] if isinstance(address, tuple) else address
    path = event == "socket.connect" and not isinstance(address, tuple)
    if not path and host not in (None, "", "localhost", "127.0.0.1", "::1"):
        raise ConnectionRefusedError(f"a notebook runs without a network, this one asks for {host}")

import sys, warnings
sys.addaudithook(_refuse)
# Lightning says so in every run where SLURM is installed.
warnings.filterwarnings("ignore", "The `srun` command is available on your system")
del sys, warnings
"""


class ThisPython(AsyncKernelManager):
    """Starts `python3` as this interpreter, whatever kernels are installed on the machine."""

    @default("kernel_spec_manager")
    def _without_folders(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[])


def execute(notebook: NotebookNode, folder: str) -> None:
    """Run all cells in a folder; their outputs replace those that were there."""
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
    """Say which rules of the project a notebook breaks, as it lies in its file."""
    first, code = notebook.cells[0], [c for c in notebook.cells if c.cell_type == "code"]
    if first.cell_type != "markdown" or "\n" in first.source or "learn" not in first.source.lower():
        yield "does not start with one line that says what one will learn"
    source = "\n".join(line for c in code for line in c.source.split("\n") if line[:1] not in "%!")
    nodes = list(ast.walk(ast.parse(source)))
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            yield f"defines the class {node.name}, which belongs in rnn_lab"
    imports = [ast.unparse(n) for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
    if not any("rnn_lab" in line for line in imports):
        yield "does not import rnn_lab"
    if any(cell.execution_count is None for cell in code):
        yield "lacks outputs: run this script with --write"
    yield from broken_outputs(notebook)


def broken_outputs(notebook: NotebookNode) -> Iterator[str]:
    """Say what is wrong with the outputs of a notebook."""
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    for output in outputs:
        if output.output_type == "error" or output.get("name") == "stderr":
            yield f"has an error or a warning among its outputs: {str(output)[:300]}"
    text = nbformat.writes(notebook)
    for place in (str(Path.home()), tempfile.gettempdir(), str(FOLDER.parent.resolve())):
        if len(place) > 1 and f"{place}/" in text:
            yield f"names {place}, a folder of this machine"
    if (size := len(text.encode()) / 1024) > KIB:
        yield f"has {size:.0f} KiB, more than {KIB}"


def run(path: Path, write: bool) -> list[str]:
    """Run one notebook: what is wrong with it."""
    notebook = nbformat.read(path, as_version=4)
    wrong = [] if write else list(broken_rules(notebook))
    with tempfile.TemporaryDirectory() as folder:
        try:
            execute(notebook, folder)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            return [*wrong, str(error)]
    notebook.metadata = nbformat.from_dict(METADATA)
    wrong += [problem for problem in broken_rules(notebook) if problem not in wrong]
    if write and not wrong:
        nbformat.write(notebook, path)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="all of the project by default")
    parser.add_argument("--write", action="store_true", help="keep the outputs in the file")
    options = parser.parse_args()
    failed = 0
    for path in options.notebooks or sorted(FOLDER.glob("*.ipynb")):
        start = time.monotonic()
        wrong = run(path, options.write)
        failed += bool(wrong)
        state = "fails" if wrong else "ok"
        size = path.stat().st_size / 1024
        print(f"{path.name}: {state}, {time.monotonic() - start:.1f} s, {size:.0f} KiB", flush=True)
        for problem in wrong:
            print(f"  {problem}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
