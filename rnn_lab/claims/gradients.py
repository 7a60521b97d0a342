"""How far back the gradients of trained recurrent layers reach."""

from functools import cache

from rnn_lab.comparison.saved_run import SavedRun
from rnn_lab.core.checkpoint import Checkpoint
from rnn_lab.core.loading import load_task
from rnn_lab.errors import UserError
from rnn_lab.io.run_files import CHECKPOINTS
from rnn_lab.nn.diagnostics import gradient_by_distance
from rnn_lab.nn.layers.stack import StackedRNN


def gradient_norms(run: SavedRun, distance: int) -> list[float]:
    """Measure the gradient of the recurrent layer in the best checkpoint of a run.

    Args:
        run: The run.
        distance: Largest distance in steps.

    Returns:
        Norms by distance relative to that at distance 0, see `gradient_by_distance`.

    Raises:
        UserError: If the model has no recurrent layer, or the checkpoint cannot be read.
    """
    return _norms(str(run.folder / CHECKPOINTS / "best.ckpt"), distance)


@cache
def _norms(path: str, distance: int) -> list[float]:
    layers = (
        each for each in load_task(Checkpoint.open(path)).modules() if isinstance(each, StackedRNN)
    )
    layer = next(layers, None)
    if layer is None:
        raise UserError(f"the model of {path} has no recurrent layer of its own")
    return gradient_by_distance(layer, layer.input_size, distance + 1).tolist()
