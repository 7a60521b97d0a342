"""What README and site show runs, and what they link is there."""

import doctest
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pages import REPOSITORY, Block, anchors, blocks, links, pages, read_page, write_files

import rnn_lab
from rnn_lab.__main__ import main
from rnn_lab.commands._configs import shipped_configs
from rnn_lab.commands.list import layers
from rnn_lab.models import __all__ as models
from rnn_lab.nn import LAYERS

README = "README.md"
SHOWN_ONLY = {"text", "json", "yaml", "toml", "{include}", "{toctree}", "{eval-rst}"}
WITH_CODE = [name for name in pages() if any(block.runs for block in blocks(name))]


def run_command(line: str, options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a line of a block: `rnn-lab` in this process, anything else in a shell."""
    variables, _, words = line.rpartition("rnn-lab ")
    if not re.fullmatch(r"([A-Z_]+=\S+ )*", variables) or {"|", ">"} & {*line.split()}:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)}
        subprocess.run(["bash", "-ec", line], check=True, env=environment)
        return
    for variable in variables.split():
        monkeypatch.setenv(*variable.split("=", 1))
    command, *words = shlex.split(words)
    if command == "fit":
        words = [*options, *words]  # options of the page count more
    if command == "test":
        words.append("--trainer.limit_test_batches=2")
    if command == "submit" and "--dry-run" not in words:
        words.append("--dry-run")
    if command == "translate":  # it reads what is typed; no other command may read it
        monkeypatch.setattr(sys, "stdin", io.StringIO("the film was good\n"))
    assert main([command, *words]) == 0, line


def run_python(block: Block, namespace: dict[str, object]) -> None:
    """Run a block of Python: a doctest if it has prompts, else a script."""
    if ">>>" not in block.body:
        exec(block.body, namespace)
        return
    test = doctest.DocTestParser().get_doctest(block.body, namespace, "page", None, None)
    result = doctest.DocTestRunner().run(test, clear_globs=False)
    namespace |= test.globs
    assert result.failed == 0


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty folder with the files that pages name; modules and layers of pages are forgotten."""
    monkeypatch.chdir(tmp_path)
    layers = dict(LAYERS)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    write_files()
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
    LAYERS.clear()
    LAYERS.update(layers)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", WITH_CODE)
def test_every_block_of_a_page_runs(name, workplace, monkeypatch):
    namespace: dict[str, object] = {"__name__": "page"}
    for block in blocks(name):
        if block.mark == "file":
            Path(block.note).write_text(block.body, encoding="utf-8")
        elif block.runs and block.kind == "python":
            run_python(block, namespace)
        elif block.runs:
            for line in block.lines:
                with monkeypatch.context() as patched:
                    run_command(line, block.options, patched)


def dead_links(name: str) -> list[str]:
    dead = []
    for path, anchor in links(name):
        target = (REPOSITORY / name).parent / path if path else REPOSITORY / name
        page = target.resolve().relative_to(REPOSITORY).as_posix()
        if not target.exists() or (anchor and anchor not in anchors(page)):
            dead.append(f"{path}#{anchor}")
    return dead


def missing_files(name: str) -> list[str]:
    paths = r"\b((?:configs|docs|notebooks|tests|rnn_lab)/[\w./-]+\.\w+)\b"
    return [path for path in re.findall(paths, read_page(name)) if not (REPOSITORY / path).exists()]


def unknown_configs(name: str) -> list[str]:
    text = read_page(name).replace("\\\n", "")
    commands = re.findall(r"rnn-lab (?:fit|submit|validate|test)[^`\n]*", text)
    configs = {c for line in commands for c in re.findall(r" -c (\w[\w./]*)", line)}
    written = {block.note for block in blocks(name) if block.mark == "file"}
    written |= {file for line in commands for file in re.findall(r" > (\S+)", line)}
    unknown = configs - shipped_configs().keys() - written
    return sorted(name for name in unknown if Path(name).name != "config.yaml")  # of a run


def unknown_commands(name: str) -> list[str]:
    folder = REPOSITORY / "rnn_lab" / "commands"
    named = set(re.findall(r"`rnn-lab ([a-z]\w*)", read_page(name)))
    return sorted(named - {path.stem for path in folder.glob("[a-z]*.py")})


def unknown_languages(name: str) -> list[str]:
    kinds = {block.kind for block in blocks(name)}
    return sorted(kinds - {"bash", "python", *SHOWN_ONLY})


CHECKS = [dead_links, missing_files, unknown_configs, unknown_commands, unknown_languages]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_no_page_has(check):
    assert {name: problems for name in pages() if (problems := check(name))} == {}


def references() -> dict[str, str]:
    """URLs of the README by the names of their references."""
    return dict(re.findall(r"^\[(\w+)\]: (\S+)$", read_page(README), re.M))


def table(heading: str) -> list[list[str]]:
    """Cells of the first table of the README after a heading."""
    after = read_page(README).partition(f"\n{heading}\n")[2]
    rows = re.search(r"(^\|.*\n)+", after, re.M)
    assert rows is not None
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows[0].splitlines()[2:]]


def test_the_readme_is_a_page_of_200_lines():
    lines = read_page(README).splitlines()
    assert len(lines) <= 200
    assert [line for line in lines if len(line) > 120] == []


def test_the_readme_lists_every_architecture_with_its_task_and_source():
    rows = table("## Architectures")
    named = {name: row for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert sorted(named) == sorted(models)
    for name, (_, task, _, source) in named.items():
        cls = getattr(rnn_lab, name)
        assert cls.__module__.split(".")[2] == task.replace(" ", "_"), name
        for key in re.findall(r"\]\[(\w+)\]", source):
            url = references()[key]
            assert url in (cls.__doc__ or ""), f"the docstring of {name} does not cite {url}"


def test_the_readme_lists_every_layer_with_year_cost_and_source():
    named = {row[0].strip("`"): row[1:] for row in table("## Layers")}
    assert list(named) == list(LAYERS)
    for layer in layers():
        year, _, cost, parallel, source = named[layer.name]
        assert (year, cost, parallel == "yes") == (layer.year, layer.cost, layer.parallel == "yes")
        assert references()[source.rpartition("[")[2].strip("]")] in layer.source, layer.name


def test_every_reference_of_the_readme_is_used():
    text = read_page(README)
    assert [name for name in references() if text.count(f"[{name}]") < 2] == []
    assert set(re.findall(r"\]\[(\w+)\]", text)) == references().keys()
