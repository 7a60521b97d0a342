"""An installed wheel trains, tests and predicts without a checkout."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel is installed, without its dependencies."""
    wheels, target = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, REPOSITORY]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = wheels.glob("rnn_lab-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", target, wheel], check=True)
    return target


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_wheel_trains_tests_and_predicts_in_an_empty_folder(site: Path, tmp_path: Path) -> None:
    def run(*words: str, text: str = "") -> str:
        code = "import sys, rnn_lab.__main__ as m; assert sys.argv.pop(1) in m.__file__; "
        code += "sys.exit(m.main(sys.argv[1:]))"
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, str(site), *words],
            cwd=tmp_path, env={"PATH": "", "HOME": str(tmp_path), "PYTHONPATH": str(site)},
            input=text, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    assert "SyntheticReviews" in run("list")
    small = ["--trainer.max_epochs=1", "--data.train_size=64", "--data.valid_size=32"]
    run("fit", "-c", "demo", "--test=true", "--name=first", "--experiment=demo", *small)
    checkpoint = "runs/demo/first/checkpoints/best.ckpt"
    answer = run("predict", "--ckpt_path", checkpoint, "--input", "-", text="not bad at all .\n")
    assert answer.count("\n") == 1
