"""Compile kernels of recurrent layers for this CPU, or show their status.

Examples:
    rnn-lab kernels build
    rnn-lab kernels status
"""

from collections.abc import Sequence

from rnn_lab.commands._concise_parser import ConciseParser
from rnn_lab.io.waiting import waiting
from rnn_lab.nn.native.build import build
from rnn_lab.nn.native.library import VARIABLE, find


def main(options: Sequence[str]) -> None:
    """Compile the kernels or show their status.

    Args:
        options: Command-line arguments after `kernels`.

    Raises:
        UserError: If the kernels cannot be built.
    """
    parser = ConciseParser(
        prog="rnn-lab kernels",
        description="Compile the kernels of recurrent layers for this CPU; layers then use them.",
        epilog=f"{VARIABLE}=0 turns the kernels off.",
    )
    parser.add_argument("action", choices=["build", "status"], help="what to do")
    parser.add_argument(
        "--compiler", help="C++ compiler; by default CXX, or the first of c++, g++ and clang++"
    )
    args = parser.parse_args(list(options))
    if args.action == "build":
        with waiting("compiling the kernels"):
            path = build(args.compiler)
        print(path)
        return
    status = find()
    if status.path is None:
        print(f"plain PyTorch: {status.reason}")
    else:
        print(f"compiled kernels: {status.path}")
