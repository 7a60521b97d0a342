"""What the cards of the benchmark datasets in the site say, from their classes and the configs."""

import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import yaml

import rnn_lab
from rnn_lab import datamodules
from rnn_lab.commands._configs import shipped_configs
from rnn_lab.io.downloads import RemoteFile


def benchmarks() -> dict[str, Any]:
    """Return the classes of benchmark datasets by their names; each reads one folder of files."""
    classes = {name: getattr(rnn_lab, name) for name in datamodules.__all__}
    return {name: cls for name, cls in classes.items() if isinstance(_folder(cls), str)}


def remote_files(cls: type) -> list[RemoteFile]:
    """Return the files of a dataset."""
    if cls is rnn_lab.Multi30k:  # two files per split
        pairs = [(split, code) for split in cls.names for code in cls.languages]
        return [cls.file(split, code) for split, code in pairs]
    declared = dict(inspect.getmembers_static(cls))
    files = [declared[name] for name in ("file", "archive") if name in declared]
    for name in ("files", "split_archives", "language_files"):
        files.extend(declared.get(name, {}).values())
    return files


def cards(titles: Mapping[str, str]) -> Iterator[str]:
    """Yield a card for each dataset, below the title of its task."""
    by_task: dict[str, list[str]] = {}
    for name, cls in benchmarks().items():
        by_task.setdefault(cls.__module__.split(".")[2], []).append(name)
    for task in (task for task in titles if task in by_task):
        yield from (f"## {titles[task]}", "")
        for name in by_task[task]:
            yield from card(name)


def card(name: str) -> Iterator[str]:
    """Yield the card of a dataset: paragraphs of its docstring, files, and commands."""
    cls = benchmarks()[name]
    what, *notes, source = paragraphs(cls)
    files = [f"`{file.name}`" for file in remote_files(cls)]
    if len(files) > 6:
        files = [files[0], f"... ({len(files)} files)", files[-1]]
    yield from (f"### {name}", "", what, "", "| | |", "| --- | --- |")
    if notes:
        yield f"| Use | {' '.join(notes)} |"
    yield f"| Origin and license | {source} |"
    yield f"| Files | in `{_folder(cls)}/`: {', '.join(files)} |"
    yield from (f"| Trained by | {_commands(name)} |", "")


def paragraphs(cls: type) -> list[str]:
    """Return the paragraphs of the docstring of a dataset; the last one is its source."""
    blocks = (inspect.getdoc(cls) or "").split("\n\n")
    texts = [" ".join(block.split()) for block in blocks]
    texts[-1] = re.sub(r"(https?://[^\s,;]+[^\s,;.])", r"<\1>", texts[-1].removeprefix("Source: "))
    return texts


def configs_of(name: str) -> list[str]:
    """Return the shipped configs that train on a dataset."""
    return [config for config, data in _data_of_configs().items() if data == name]


@cache
def _data_of_configs() -> dict[str, str | None]:
    configs = {name: yaml.safe_load(path.read_bytes()) for name, path in shipped_configs().items()}
    return {name: values.get("data", {}).get("class_path") for name, values in configs.items()}


def _commands(name: str) -> str:
    lines = [f"[`rnn-lab fit -c {c} --test=true`](configs.md#{c})" for c in configs_of(name)]
    if lines:
        return ", ".join(lines)
    task = benchmarks()[name].__module__
    other = next(
        c for n, cls in benchmarks().items() if cls.__module__ == task for c in configs_of(n)
    )
    return f"no config of its own; as a start `rnn-lab fit -c {other} --data={name}`"


def _folder(cls: type) -> Any:
    return dict(inspect.getmembers_static(cls)).get("folder")
