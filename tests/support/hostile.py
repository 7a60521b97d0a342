"""Small checkpoints that would take much memory or time, or crash, if their content was trusted.

python hostile.py commands FOLDER         runs the commands that it reads from standard input
python hostile.py MUTATION FOLDER COUNT   loads mutations of good.ckpt in the folder

Each child process has limited memory and time, and its result is printed as JSON.
"""

import contextlib
import importlib
import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

MAX_BYTES, MAX_SECONDS = 2 << 30, 20
Content = dict[str, Any]


class Call:
    """An object whose pickle calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._called = function, arguments

    def __reduce__(self) -> Any:
        return self._called


def arguments(content: Content) -> Content:
    """Return the arguments of the model."""
    return content["rnn_lab"]["model"]["init_args"]


def laughs(content: Content) -> list[Any]:
    """Nest lists that share their items, with 10**13 items."""
    value: list[Any] = ["ha"] * 10
    for _ in range(12):
        value = [value] * 10
    return value


def with_size(name: str, size: int, weight: str, shape: Callable[[int, int], tuple[int, ...]]):
    """Claim a size, and a weight of that size that has one stored element."""

    def change(content: Content) -> None:
        arguments(content)[name] = size
        old = content["state_dict"][weight].shape
        content["state_dict"][weight] = torch.zeros(1).expand(shape(size, old[-1]))

    return change


def sized(**sizes: int) -> Callable[[Content], None]:
    """Claim sizes of the model and leave the weights as they are."""
    return lambda content: arguments(content).update(sizes)


def stored(name: str, value: Callable[[Content], Any]) -> Callable[[Content], None]:
    """Set an argument of the model."""
    return lambda content: arguments(content).update({name: value(content)})


def any_linear(size: int) -> Callable[[Content], None]:
    """Name a class of torch with a size in a dictionary of options."""

    def change(content: Content) -> None:
        linear = {"in_features": size, "out_features": size}
        spec = {"class_path": "torch.nn.Linear", "init_args": linear}
        content["rnn_lab"]["model"]["class_path"] = "rnn_lab.TextClassifier"
        arguments(content)["layer_kwargs"] = {"x": spec}

    return change


def demonstration(content: Content) -> None:
    """Name a model of Lightning's demonstrations with a large vocabulary."""
    path = "lightning.pytorch.demos.transformer.LightningTransformer"
    content["rnn_lab"]["model"] = {"class_path": path, "init_args": {"vocab_size": 50_000_000}}


CHECKPOINTS: dict[str, Callable[[Content], None]] = {
    "bytearray5g": lambda content: content.update(x=Call(bytearray, 5_000_000_000)),
    "emb5g": sized(embedding_dim=20_000_000),
    "vocab5g": sized(vocab_size=200_000_000),
    "hid": sized(hidden_dim=30_000),
    "stride0": with_size("vocab_size", 1 << 30, "embedding.weight", lambda n, d: (n, d)),
    "layers": sized(num_layers=10**9),
    "laughs": lambda content: content["rnn_lab"]["data"].update(labels=laughs(content)),
    "laughs_args": stored("layer_kwargs", laughs),
    "any_linear_big": any_linear(40_000),
    "demonstration": demonstration,
    "nan": lambda content: content["state_dict"]["embedding.weight"].fill_(float("nan")),
    "infinite": lambda content: content["state_dict"]["embedding.weight"].fill_(float("inf")),
    "complex": lambda content: content["state_dict"].update(
        {"embedding.weight": content["state_dict"]["embedding.weight"].cfloat()}
    ),
    "int8": lambda content: content["state_dict"].update(
        {"embedding.weight": content["state_dict"]["embedding.weight"].char()}
    ),
}  # fmt: skip
REPLACE = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}
SPLIT = {"type": "Split", "behavior": "Isolated", "invert": False}
TEMPLATE = {"type": "TemplateProcessing", "pair": [], "special_tokens": {},
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}]}  # fmt: skip
PADDING = {"strategy": {"Fixed": 2_000_000_000}, "direction": "Right", "pad_to_multiple_of": None,
           "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"}  # fmt: skip


def shifted(vocab: dict[str, int]) -> dict[str, int]:
    return {word: i + 1_000_000 for word, i in vocab.items()}


TOKENIZERS: dict[str, Callable[[Content], Any]] = {
    "tok_pad": lambda state: state.update(padding=PADDING),
    "tok_grow": lambda state: state.update(
        normalizer={"type": "Sequence", "normalizers": [REPLACE] * 3}
    ),
    "tok_grow2": lambda state: state.update(
        normalizer={"type": "Sequence", "normalizers": [REPLACE] * 9}
    ),
    "tok_ids": lambda state: state["model"].update(vocab=shifted(state["model"]["vocab"])),
    "tok_postproc": lambda state: state.update(post_processor=TEMPLATE),
    "tok_wl": lambda state: state.update(
        model={"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "absent"}
    ),
    "tok_wp": lambda state: state.update(
        model={"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "absent",
               "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}
    ),
    "tok_precomp": lambda state: state.update(
        normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    ),
    "tok_precomp2": lambda state: state.update(
        normalizer={"type": "Precompiled", "precompiled_charsmap": "BAAAAP////8="}
    ),
    "tok_redos": lambda state: state.update(
        pre_tokenizer={**SPLIT, "pattern": {"Regex": "(a|aa|a+)+(b|c)+$" * 3}}
    ),
    "tok_merges": lambda state: state["model"].update(merges=[["absent", "also absent"]]),
    "tok_added": lambda state: state["added_tokens"][0].update(content="", id=-1),
    "tok_truncation": lambda state: state.update(truncation={
        "direction": "Right", "max_length": 0, "strategy": "LongestFirst", "stride": 9}),
}  # fmt: skip


def deflated(source: Path, target: Path) -> None:
    """Write an archive whose small pickle inflates to 1 GB."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as other:
        for info in archive.infolist():
            is_pickle = info.filename.endswith("data.pkl")
            content = b"N" * (1 << 30) if is_pickle else archive.read(info)
            other.writestr(info.filename, content, zipfile.ZIP_DEFLATED, 1)


def write_all(good: Content, subwords: Content, folder: Path) -> Iterator[Path]:
    """Write all hostile checkpoints.

    Args:
        good: Content of a checkpoint of an `LSTMClassifier`.
        subwords: Content of one with a tokenizer of kind `bpe`.
        folder: Folder of the files.
    """
    for name, change in CHECKPOINTS.items():
        content = copied(good)
        change(content)
        yield written(content, folder / f"{name}.ckpt")
    for name, change in TOKENIZERS.items():
        content = copied(subwords)
        tokenizer = content["rnn_lab"]["data"]["tokenizer"]
        state = json.loads(tokenizer["subwords"])
        change(state)
        tokenizer["subwords"] = json.dumps(state)
        yield written(content, folder / f"{name}.ckpt")
    deflated(written(good, folder / "good.ckpt"), folder / "zip_pkl.ckpt")
    yield folder / "zip_pkl.ckpt"


def written(content: Content, path: Path) -> Path:
    torch.save(content, path)
    return path


def copied(content: Content) -> Content:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


NAMES = [*CHECKPOINTS, *TOKENIZERS, "zip_pkl"]


# Guards.


def in_child(task: Callable[[], Any]) -> dict[str, Any]:
    """Run a function in a forked process with limited memory and time.

    Returns:
        `status` of the process, negative for a signal; `seconds`; `megabytes` of additional
        resident memory at its peak; and what the function returned under `result`.
    """
    read, write = os.pipe()
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pid = os.fork()
    if pid == 0:
        os.close(read)
        status = 3
        with contextlib.suppress(BaseException):
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(MAX_SECONDS)
            limit = virtual_bytes() + MAX_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            result = task()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            os.write(write, json.dumps({"result": result, "peak": peak}).encode())
            status = 0
        os._exit(status)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    answer = json.loads(text) if text else {"result": None, "peak": 0}
    return {
        "status": os.waitstatus_to_exitcode(status),
        "seconds": time.monotonic() - start,
        "megabytes": max(answer["peak"] - before, 0) >> 10,
        "result": answer["result"],
    }


def virtual_bytes() -> int:
    """Return the size of the address space of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def run_commands(folder: Path, commands: list[list[str]]) -> Iterator[dict[str, Any]]:
    """Run commands in empty folders, each in a process of its own."""
    from malformed import run

    for name in ("_cli", "predict"):  # once, not in every child process
        importlib.import_module(f"rnn_lab.commands.{name}")
    for command in commands:
        with tempfile.TemporaryDirectory(dir=folder) as work:
            os.chdir(work)
            yield in_child(lambda command=command: run(*command))
            os.chdir(folder)


def answer(path: Path) -> str:
    """Load a checkpoint and predict; return the line of a refusal, or the error of another type."""
    import rnn_lab

    signal.alarm(MAX_SECONDS)
    try:
        rnn_lab.load(str(path)).predict(["a good film", ""])
    except rnn_lab.UserError as error:
        return f"refused: {error}"
    except BaseException as error:  # a panic of a library is no Exception
        return f"NOT REFUSED BY ITS OWN ERROR: {error!r}"
    finally:
        signal.alarm(0)
    return "answered"


# Mutations.

VALUES: list[Any] = [
    None, True, -1, 0, 10**9, 2**62, -(2**62), 10**400, 1.5, float("nan"), float("inf"), "", "x",
    "os.system", "/etc/passwd", "torch.nn.Linear", "a" * 10_000, [], [[]], [None], ["x"] * 100, {},
    {"class_path": "torch.nn.Linear", "init_args": {"in_features": 10**5, "out_features": 10**5}},
    {"x": {}}, b"x", torch.zeros(2), (), {1, 2},
]  # fmt: skip


def mutate_leaf(value: Any, rng: random.Random, choices: list[Any]) -> None:
    """Replace, remove or add one value at a random place of nested containers."""
    while True:
        if not value:
            return
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        if isinstance(value[key], (dict, list)) and value[key] and rng.random() < 0.9:
            value = value[key]
            continue
        action = rng.random()
        if action < 0.15:
            del value[key]
        elif action < 0.3 and isinstance(value, dict):
            value[rng.choice(["x", 3, "class_path", "num_layers"])] = rng.choice(choices)
        else:
            value[key] = rng.choice(choices)
        return


def mutated_recipe(good: Content, rng: random.Random, path: Path) -> None:
    """Change the build specifications and the preprocessing."""
    content = copied(good)
    for _ in range(rng.choice([1, 1, 2, 3])):
        mutate_leaf(content["rnn_lab"], rng, VALUES)
    written(content, path)


def mutated_tokenizer(good: Content, rng: random.Random, path: Path) -> None:
    """Change the serialized subword model, as text or as JSON."""
    content = copied(good)
    tokenizer = content["rnn_lab"]["data"]["tokenizer"]
    text = tokenizer["subwords"]
    if rng.random() < 0.3:
        at = rng.randrange(len(text))
        text = (
            text[:at]
            + rng.choice(['"', "{", "]", "9", "\\", "null", "\U0001f600", ""])
            + text[at + 1 :]
        )
    else:
        state = json.loads(text)
        plain = [value for value in VALUES if isinstance(value, (str, int, float, list, dict))]
        mutate_leaf(state, rng, [*plain, PADDING, REPLACE, None])
        text = json.dumps(state)
    tokenizer["subwords"] = text
    written(content, path)


def mutated_pickle(good: Content, rng: random.Random, path: Path) -> None:
    """Change bytes of the pickle and write the archive again, with valid checksums."""
    buffer = io.BytesIO()
    torch.save(good, buffer)
    with zipfile.ZipFile(buffer) as archive, zipfile.ZipFile(path, "w") as other:
        for info in archive.infolist():
            data = bytearray(archive.read(info))
            for _ in range(rng.choice([1, 2, 4]) if info.filename.endswith("data.pkl") else 0):
                at = rng.randrange(len(data))
                match rng.randrange(4):
                    case 0:
                        data[at] ^= 1 << rng.randrange(8)
                    case 1:
                        data[at : at + rng.randrange(9)] = b""
                    case 2:
                        data[at:at] = rng.choice(
                            [b"h\0", b"R", b"b", b"a", b"\x85", b"]", b"(", b"Q"]
                        )
                    case 3:
                        data[at] = rng.randrange(256)
            other.writestr(info.filename, bytes(data))


MUTATIONS = {
    "pickle": mutated_pickle,
    "recipe": mutated_recipe,
    "tokenizer": mutated_tokenizer,
}


def fuzz(folder: Path, name: str, count: int) -> Iterator[dict[str, Any]]:
    """Answer with mutations of `good.ckpt`, all in one process with limited memory."""
    good = torch.load(folder / "good.ckpt", weights_only=True)
    path = folder / "mutated.ckpt"

    def run_all() -> list[str]:
        outcomes = []
        for seed in range(count):
            MUTATIONS[name](good, random.Random(seed), path)
            outcomes.append(answer(path))
        return outcomes

    yield in_child(run_all)


def main(task: str, folder: str, *rest: str) -> None:
    """Print one JSON object for each child process."""
    torch.set_num_threads(1)
    results = (
        run_commands(Path(folder), json.loads(sys.stdin.read()))
        if task == "commands"
        else fuzz(Path(folder), task, int(rest[0]))
    )
    for result in results:
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
