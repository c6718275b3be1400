"""The commands and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import rmsprop
from rmsprop.dialects import dialect as find_dialect
from rmsprop.dialects import dialect_names

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rmsprop {rmsprop.__version__}")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """RMSprop in every dialect: models fitted, optimizers raced, each step shown, optimizer state moved between frameworks."""


@app.command("fit", no_args_is_help=False)
def fit_command(
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="CSV or Parquet file.", show_default=False)] = None,
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="Such as 'y = a*x**2 + b*x + c'; unknown names are parameters.", show_default=False),
    ] = None,
    start: Annotated[str | None, typer.Option(help="Start values, such as a=1,b=2.")] = None,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate, in the scaled coordinates [0.3 for restarts, else 0.03].")
    ] = None,
    decay: Annotated[float | None, typer.Option(help="Decay of the mean square [the dialect's].")] = None,
    eps: Annotated[float | None, typer.Option(help="Added to its root [the dialect's].")] = None,
    momentum: Annotated[float | None, typer.Option(help="Momentum [the dialect's].")] = None,
    dialect: Annotated[str, typer.Option(help="Which RMSprop: see `rmsprop dialects`.")] = "article",
    epochs: Annotated[int | None, typer.Option(help="Passes over the data [2000, fewer for many rows].")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows of a mini-batch [all].")] = None,
    loss: Annotated[str, typer.Option(help="mse, mae or huber.")] = "mse",
    delta: Annotated[float | None, typer.Option(help="Where huber turns linear [1.345 robust standard deviations].")] = None,
    schedule: Annotated[
        str | None,
        typer.Option(help="restarts, constant, cosine, linear, exponential or step [restarts; cosine with mini-batches]."),
    ] = None,
    scale: Annotated[str | None, typer.Option(help="Coordinates: curvature, start or none [curvature].")] = None,
    sigma: Annotated[str | None, typer.Option(help="Column with the standard deviation of the left side.")] = None,
    seed: Annotated[int, typer.Option(help="Of mini-batches and of chosen starts.")] = 0,
    polish: Annotated[bool, typer.Option("--polish/--no-polish", help="Polish RMSprop's answer by Levenberg-Marquardt.")] = True,
    recipe: Annotated[
        str | None, typer.Option(help="article: repeat the tutorial's run; without DATA and MODEL, on its own data.")
    ] = None,
    missing: Annotated[str, typer.Option(help="Rows with a missing cell: drop or refuse.")] = "drop",
    memory: Annotated[
        int | None, typer.Option(help="Bytes that columns may take before the file is read in pieces [half of what is free].")
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory for fit.json and fit.png.")] = Path("fit"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the report.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no report and no progress; write the files.")] = False,
) -> int:
    """Fit MODEL to DATA; write fit.json and fit.png.

    Example: rmsprop fit data.csv "y = a*exp(-b*x) + c" --start a=5,b=0.1
    """
    from rmsprop.cli.fitting import run_fit

    options = {
        "lr": lr, "decay": decay, "eps": eps, "momentum": momentum, "dialect": dialect, "epochs": epochs, "batch_size": batch_size,
        "loss": loss, "delta": delta, "schedule": schedule, "scale": scale, "sigma": sigma, "seed": seed, "polish": polish,
        "recipe": recipe, "missing": missing, "memory": memory,
    }  # fmt: skip
    return run_fit(data, model, start, options, out, json=json, quiet=quiet)


@app.command("race", no_args_is_help=False)
def race_command(
    landscape: Annotated[
        str | None,
        typer.Argument(metavar="LANDSCAPE", help="A name of --list, or a formula of two names [ravine].", show_default=False),
    ] = None,
    against: Annotated[str | None, typer.Option(help="Optimizers, such as adam,sgd, or none [all].")] = None,
    dialect: Annotated[
        str, typer.Option(help="Of RMSprop; several run side by side, such as article,tf1,article:decay=0.99.")
    ] = "article",
    noise: Annotated[
        str | None,
        typer.Option(help="On the gradients: gaussian, multiplicative, mask or outliers; such as gaussian=0.1 [none]."),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each run [2000; a workload's own].")] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs of each optimizer [11; on a workload 5].")] = None,
    lr: Annotated[
        str | None, typer.Option(help="Learning rates, such as 0.01 or adam=0.1,sgd=0.01 [each chooses its own].")
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Learning rates that each optimizer tries [25; a workload's own].")] = None,
    schedule: Annotated[
        str, typer.Option(help="Of all learning rates: constant, cosine, linear, exponential or step.")
    ] = "constant",
    start: Annotated[str | None, typer.Option(help="Where to begin, such as 1,2 or x=1,y=2.")] = None,
    target: Annotated[float | None, typer.Option(help="The loss to reach [99.9 % of the way down; a workload's own].")] = None,
    data: Annotated[str | None, typer.Option(help="CSV or Parquet file, for --model.")] = None,
    model: Annotated[str | None, typer.Option(help="Race on the loss of a model, such as 'y = a*exp(-b*x)'.")] = None,
    over: Annotated[str | None, typer.Option(help="Its two parameters; others are held at their fit, or at --start.")] = None,
    workload: Annotated[
        str | None, typer.Option(help="Train a model instead: digits, chars, cartpole or words; needs 'rmsprop[workloads]'.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The first of the seeds.")] = 0,
    out: Annotated[Path, typer.Option(help="Directory for race.json, race.png, race.html and race.gif.")] = Path("race"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no table and no progress; write the files.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List landscapes, workloads, optimizers and noise.")] = False,
) -> int:
    """Race RMSprop against its rivals on a landscape or a workload; write race.json, race.png, race.html and race.gif.

    Example: rmsprop race "(1-x)**2 + 100*(y-x**2)**2" --against adam,adagrad --noise gaussian=0.1
    """
    from rmsprop.cli.racing import listing, run_race

    if list_:
        typer.echo(listing())
        return 0
    options = {
        "against": against, "dialect": dialect, "steps": steps, "seeds": seeds, "lr": lr, "budget": budget, "schedule": schedule,
        "target": target, "seed": seed,
    }  # fmt: skip
    if workload is not None:
        from rmsprop.cli.workloads import run_workload

        others = {"LANDSCAPE": landscape, "--noise": noise, "--start": start, "--data": data, "--model": model, "--over": over}
        return run_workload(workload, others, options, out, json=json, quiet=quiet)
    options |= {"noise": noise, "start": start}
    return run_race(landscape, data, model, over, options, out, json=json, quiet=quiet)


@app.command("lab")
def lab_command(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for a free one.")] = 8757,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine's can be reached from outside.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
) -> int:
    """Serve a page that shows every step of RMSprop and its rivals, until Ctrl-C.

    Example: rmsprop lab --no-browser --port 0
    """
    from rmsprop.cli.lab import run_lab

    return run_lab(host, port, browser=browser)


@app.command("dialects")
def dialects_command(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One dialect, with its formula.", show_default=False)] = None,
) -> None:
    """Print the table of dialects, or one of them with its formula."""
    from rmsprop.cli.dialects import describe, table

    if name is None:
        typer.echo(table([find_dialect(known) for known in dialect_names()]))
        return
    try:
        rule = find_dialect(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    typer.echo(describe(rule))


_From = Annotated[str | None, typer.Option("--from", help="What wrote the file, such as tf1 or sb3 [found out].")]
_Dialect = Annotated[str | None, typer.Option(help="The run's dialect, where the file does not hold it [that of --from].")]
_Set = Annotated[str | None, typer.Option("--set", help="Axes of the rule that it does not hold, such as decay=0.9,momentum=0.9.")]
_Lr = Annotated[float | None, typer.Option(help="Learning rate of the last step, where it is not held.")]
_Step = Annotated[int | None, typer.Option(help="Steps taken, where they are not held.")]
_Key = Annotated[str | None, typer.Option(help="Which of several states in the file.")]


@app.command("inspect")
def inspect_command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A checkpoint of any framework.", show_default=False)],
    written_by: _From = None,
    dialect: _Dialect = None,
    axes: _Set = None,
    lr: _Lr = None,
    step: _Step = None,
    key: _Key = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the optimizer state in FILE: rule, steps, slots, shapes, statistics.

    FILE is .safetensors (this package), .pt, .pth (PyTorch), .zip (Stable-Baselines3), .keras, .h5 (Keras), the name before .index
    (TensorFlow), or a directory (Orbax).
    """
    from rmsprop.cli.axes import parse_axes
    from rmsprop.cli.checkpoints import run_inspect

    said = {"kind": written_by, "dialect": dialect, "lr": lr, "step": step, "key": key, **parse_axes(axes)}
    run_inspect(file, said, json=json)


@app.command("convert")
def convert_command(
    source: Annotated[str, typer.Argument(metavar="IN", help="A checkpoint of any framework.", show_default=False)],
    target: Annotated[str, typer.Argument(metavar="OUT", help="The file to write.", show_default=False)],
    to: Annotated[str, typer.Option(help="Whose file to write: pytorch, optax, keras, rmsprop, rmsprop.torch, ...")],
    table: Annotated[
        list[str] | None,
        typer.Option("--map", help=r"Rename: '(.+)/kernel=\1.weight@1,0' also swaps the axes. May be given several times."),
    ] = None,
    like: Annotated[
        Path | None, typer.Option(help="A PyTorch model's state_dict (.pt), whose order of names and shapes to take.")
    ] = None,
    written_by: _From = None,
    dialect: _Dialect = None,
    axes: _Set = None,
    lr: _Lr = None,
    step: _Step = None,
    key: _Key = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
) -> None:
    """Carry the optimizer state in IN over to OUT, as another framework keeps it; or refuse where nothing exact exists.

    Example: rmsprop convert model.ckpt-1000 state.pt --from tf1 --lr 0.01 --set momentum=0.9 --to rmsprop.torch
    """
    from rmsprop.cli.axes import parse_axes
    from rmsprop.cli.checkpoints import run_convert

    said = {"kind": written_by, "dialect": dialect, "lr": lr, "step": step, "key": key, **parse_axes(axes)}
    run_convert(source, target, to, table or [], like, said, quiet=quiet)
