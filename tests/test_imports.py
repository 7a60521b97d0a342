"""The import structure: layers import only lower layers, tasks are independent, imports cheap."""

import ast
import inspect
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "rnn_lab"
BASE = {"errors", "signals", "special_tokens"}
FACES = {"models", "datamodules"}
SHARED = {"classification", "core", "io", "nn", "text", "training"}
ALLOWED = {  # modules of rnn_lab that each part may import, besides itself and the base modules
    **{name: set() for name in BASE},
    "nn": {"io"},  # nn.native keeps compiled kernels in a cache
    "io": set(),
    "core": {"nn", "io"},
    "training": {"core", "io", "nn"},
    "text": {"core", "io", "nn", "training"},
    "classification": {"core", "io", "nn", "training"},
    "tasks": SHARED,
    "models": {"tasks"},
    "datamodules": {"tasks"},
    "comparison": {"io", "training"},
    "reporting": {"comparison", "io", "training"},
    "claims": {"benchmarks", "comparison", "core", "io", "nn", "reporting", "training"},
    "sweeps": {"io", "training"},
    "benchmarks": {*SHARED, "tasks", *FACES},
    "commands": {
        *(*SHARED, "benchmarks", "claims", "comparison", "reporting", "sweeps", "tasks", *FACES),
    },
    "__main__": {"commands", "io"},
    "__init__": set(),
}
CORE = {
    "__init__", "checkpoint", "checkpoint_pickle", "cpu", "datamodule", "epoch_meter", "generated",
    "half_precision", "loading", "options", "predictor", "public_paths", "samplers",
    "step_log", "task", "trusted_imports", "worker_processes",
}  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """Return the dotted name of a module below the package, empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {name_of(path): path for path in FILES}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Return the modules of rnn_lab that a file imports anywhere, by names below the package."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by a relative path"
            candidates = [f"{node.module}.{alias.name}" for alias in node.names]
            exists = (name.removeprefix("rnn_lab.") in MODULES for name in candidates)
            names = [n if e else str(node.module) for n, e in zip(candidates, exists, strict=True)]
        else:
            continue
        ours = (name for name in names if name.split(".")[0] == "rnn_lab")
        modules |= {name.removeprefix("rnn_lab").removeprefix(".") for name in ours}
    return modules


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_layer_imports_only_lower_layers(path):
    part = part_of(path)
    parts = {name.partition(".")[0] for name in imported(path)} - {
        ""
    }  # the package itself, for the version
    assert parts <= ALLOWED[part] | BASE | {part}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_task_imports_another(path):
    if part_of(path) == "tasks":
        own = path.relative_to(PACKAGE).parts[1]
        tasks = {name.split(".")[1] for name in imported(path) if name.startswith("tasks.")}
        assert tasks <= {own}


def test_only_commands_that_measure_speed_import_benchmarks():
    users = {
        name
        for name, path in MODULES.items()
        if any(each.partition(".")[0] == "benchmarks" for each in imported(path))
    }
    others = {name for name in users if not name.startswith("benchmarks.")}
    assert others == {"commands.bench", "claims.timing"}


def test_there_are_no_import_cycles():
    graph = {name: imported(path) - {"", name} for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_core_has_no_file_beyond_its_list():
    assert {path.stem for path in (PACKAGE / "core").iterdir() if path.suffix == ".py"} == CORE


def test_public_modules_have_only_imports_and_all():
    for name in ("models", "datamodules"):
        docstring, *rest = ast.parse(MODULES[name].read_text(encoding="utf-8")).body
        assert isinstance(docstring, ast.Expr)
        assert all(isinstance(node, ast.ImportFrom | ast.Assign) for node in rest)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_imports_pytorch_lightning(path):
    assert "pytorch_lightning" not in path.read_text(encoding="utf-8")


def check_imports(statement: str, *heavy: str) -> None:
    """Run a statement in a separate process, which must not import the heavy packages."""
    code = f"import sys\n{statement}\nassert not set({heavy!r}) & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.slow
def test_the_package_and_the_list_command_do_not_import_torch():
    heavy = ("torch", "lightning", "wandb", "jsonargparse")
    check_imports("import rnn_lab", *heavy)
    shown = (
        'from rnn_lab.__main__ import main\nassert main(["list"]) == 0 and main(["--help"]) == 0'
    )
    check_imports(shown, *heavy)


@pytest.mark.slow
def test_reading_and_writing_files_does_not_import_torch():
    names = [name for name in MODULES if name.partition(".")[0] in {*BASE, "io"}]
    check_imports("\n".join(f"import rnn_lab.{name}" for name in names), "torch", "lightning")


@pytest.mark.slow
def test_public_modules_do_not_import_pandas_sacrebleu_and_wandb():
    check_imports("import rnn_lab.models, rnn_lab.datamodules", "pandas", "sacrebleu", "wandb")


HEAVY = {"matplotlib", "nltk", "pandas", "pyarrow", "sacrebleu", "scipy", "sklearn", "wandb"}
FITS = {  # per task a model and data that are generated
    "text_classification": ("LSTMClassifier", "SyntheticReviews", "--data.train_size=64"),
    "sequence_classification": ("GRUClassifier", "SyntheticChirps", "--data.train_size=64"),
    "translation": ("AttentionTranslator", "SyntheticDates", "--data.train_size=64"),
    "forecasting": ("LSTMForecaster", "SyntheticSeries"),
    "language_modeling": ("LSTMLanguageModel", "SyntheticText"),
    "regression": ("SequenceRegressor", "AddingProblem", "--data.length=9"),
    "tagging": ("SequenceTagger", "CopyMemory", "--data.delay=9"),
}
FIRST_BATCHES = """
import sys
import lightning
before = set(sys.modules)
from rnn_lab.__main__ import main
for task, (model, data, *options) in {fits}.items():
    trial = ["--trainer.fast_dev_run=true", "--trainer.limit_val_batches=0"]
    assert main(["fit", f"--model={{model}}", f"--data={{data}}", *options, *trial]) == 0, task
    new = {{name for name in sys.modules.keys() - before if name.partition(".")[0] in {heavy}}}
    assert not new, f"{{task}} imports {{sorted(new)}}"
"""


def test_every_task_has_a_fit_that_is_tested_below():
    folders = {path.parent.name for path in (PACKAGE / "tasks").glob("*/__init__.py")}
    assert FITS.keys() == folders


@pytest.mark.slow
def test_training_imports_no_package_that_its_first_batch_does_not_need(tmp_path):
    code = FIRST_BATCHES.format(fits=FITS, heavy=HEAVY)
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr


TEXTBOOK = [  # every class and function that the chapter on recurrent networks defines
    "Attention", "AttentionDecoder", "BiLSTMClassifier", "Decoder", "Encoder", "GRUClassifier",
    "LSTMClassifier", "LSTMForecaster", "LSTMWithLayerNorm", "PackedLSTM", "SentimentDataset",
    "SentimentLSTM", "Seq2Seq", "collate_variable_length", "train_forecaster",
]  # fmt: skip


def test_textbook_classes_models_and_data_modules_are_exported_by_the_package():
    import rnn_lab
    from rnn_lab import datamodules, models

    wanted = {*TEXTBOOK, *models.__all__, *datamodules.__all__, "load", "Task", "LabDataModule"}
    assert wanted <= set(rnn_lab.__all__)
    assert wanted <= set(dir(rnn_lab))
    for name in rnn_lab.__all__:
        assert getattr(rnn_lab, name).__name__ == name
    for name in ("Absent", "absent", ""):
        with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
            getattr(rnn_lab, name)


def test_groups_of_options_in_signatures_are_exported_by_the_package():
    import rnn_lab
    from rnn_lab import datamodules, models
    from rnn_lab.core.options import option_group

    for module in (models, datamodules):
        for cls in (getattr(module, name) for name in module.__all__):
            for argument in inspect.signature(cls).parameters:
                group = option_group(cls, argument)
                if group is not None and group.__name__ != "Dropouts":  # one in each task
                    assert getattr(rnn_lab, group.__name__) is group


@pytest.mark.slow
def test_help_of_the_package_shows_the_textbook_classes():
    import pydoc

    import rnn_lab

    shown = pydoc.render_doc(rnn_lab, renderer=pydoc.plaintext)
    for name in TEXTBOOK:
        assert f"class {name}(" in shown or f"    {name}(" in shown
