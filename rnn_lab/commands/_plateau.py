"""The short name `ReduceLROnPlateau`, which two classes have."""

CLASS_PATHS = {
    False: "torch.optim.lr_scheduler.ReduceLROnPlateau",
    True: "lightning.pytorch.cli.ReduceLROnPlateau",  # has the argument `monitor`
}

KEYS = [
    f"--model.{group}scheduler{end}" for group in ("", "init_args.") for end in ("", ".class_path")
]


def resolve_plateau(options: list[list[str]]) -> list[list[str]]:
    """Replace `--model.scheduler=ReduceLROnPlateau` by the class path of one of the two classes.

    Lightning's class is chosen if its argument `monitor` is given, and else PyTorch's, which gets
    the metric from the task.

    Example:
        >>> resolve_plateau([["--model.scheduler=ReduceLROnPlateau"]])
        [['--model.scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau']]

    Args:
        options: Options with their values, see `split_options`.
    """
    keys = {option[0].partition("=")[0].replace(".init_args", "") for option in options}
    path = CLASS_PATHS["--model.scheduler.monitor" in keys]
    return [_resolve(option, path) for option in options]


def _resolve(option: list[str], path: str) -> list[str]:
    key, _, value = "=".join(option).partition("=")
    is_short = key in KEYS and value == "ReduceLROnPlateau"
    return [f"{key}={path}"] if is_short else option
