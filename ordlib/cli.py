"""The command line: reproduce, train, tables, predict, annotate, photographs, datasets.

Status 0; 1 for a failed notebook, 2 for bad input, 130 after Ctrl-C.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from ordlib.errors import InputError
from ordlib.files import outputs_folder, outputs_root
from ordlib.scales import SCALES, get_scale

# Imports inside the commands: PyTorch, Papermill and pandas take seconds that --help does not need.

Scale = Annotated[str, Option(help=", ".join(SCALES))]
Seed = Annotated[int, Option(help="of every draw")]
Device = Annotated[str, Option(help="auto, cpu, cuda, cuda:N or mps")]
Data = Annotated[
    str | None,
    Option(metavar="DIR", help="real data sets, which take the place of stand-ins, and BVH files"),
]
Jobs = Annotated[
    int | None, Option(min=1, metavar="N", help="networks trained, and notebooks run, at a time")
]
Joints = Annotated[Path | None, Option(metavar="FILE", help="2D joints (default: joints.* in DIR)")]
Out = Annotated[Path | None, Option(metavar="DIR", help="where results go")]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Ordinal Depth Supervision for 3D Human Pose Estimation (CVPR 2018), reproduced.",
)


@app.command()
def reproduce(
    scale: Scale = "quick",
    seed: Seed = 0,
    device: Device = "auto",
    data: Data = None,
    jobs: Jobs = None,
    only: Annotated[str | None, Option(metavar="09,04", help="numbers or names")] = None,
    outputs: Annotated[Path | None, Option(metavar="DIR", help="root of all results")] = None,
    force: Annotated[bool, Option("--force", help="do not continue an interrupted run")] = False,
) -> None:
    """Train what is missing, run the notebooks, print the tables."""
    from ordlib.experiments import Setting
    from ordlib.experiments.reproduce import NotebookFailed, reproduce, tables_text

    if outputs:
        os.environ["ORDLIB_OUTPUTS"] = str(outputs.resolve())
    try:
        setting = Setting(scale, seed, data, device)
        folder = reproduce(setting, only, jobs, force=force, say=_say)
    except NotebookFailed as error:
        _complain(error)
        raise typer.Exit(1) from error
    _say(f"\n{tables_text(folder)}".rstrip())
    for name in ("notebooks", "figures", "tables"):
        _say(f"{name + ':':<11}{folder / name}")


@app.command()
def train(
    rows: Annotated[list[str], Argument(metavar="ROW", help="such as table1/depth/weak")],
    scale: Scale = "quick",
    seed: Seed = 0,
    device: Device = "auto",
    data: Data = None,
    jobs: Jobs = None,
    precision: Annotated[str, Option(help="32-true or bf16-mixed")] = "32-true",
    compile: Annotated[bool, Option("--compile", help="slow start, fast steps")] = False,
) -> None:
    """Train networks by row of a table."""
    from ordlib import experiments

    setting = experiments.Setting(scale, seed, data, device, precision, compile)
    experiments.train(rows, [setting], jobs)
    _say(f"runs: {setting.folder / 'runs'}")


@app.command()
def tables(scale: Scale = "quick", data: Data = None) -> None:
    """Print the tables of a scale."""
    from ordlib.experiments.reproduce import tables_text

    folder = outputs_folder(get_scale(scale).name, data)
    text = tables_text(folder)
    if not text:
        raise InputError(
            f"{folder / 'tables'}: expected CSV files, found none; "
            f"`make reproduce SCALE={scale}` writes them"
        )
    _say(text)


@app.command()
def predict(
    images: Annotated[list[Path], Argument(metavar="IMAGE")],
    box: Annotated[
        tuple[float, float, float] | None,
        Option(metavar="X Y SIDE", help="the person's square, pixels (default: the whole image)"),
    ] = None,
    row: Annotated[
        str | None, Option(help="network of the tables (default: the full method's weights)")
    ] = None,
    scale: Annotated[
        str | None, Option(help=f"{', '.join(SCALES)} (default: the largest with weights)")
    ] = None,
    seed: Annotated[int | None, Option(help="(default: theirs)")] = None,
    device: Device = "auto",
    out: Out = None,
) -> None:
    """Pose of the person in each image, as figure and JSON."""
    from ordlib.distributed import resolve_device
    from ordlib.predict import predict_files

    if box and len(images) != 1:
        raise InputError(f"--box: expected one image, found {len(images)}")
    out = out or outputs_root() / "local" / "predictions"
    predict_files(images, box, row, scale, seed, resolve_device(device), out)
    _say(f"figures and joints: {out}")


@app.command()
def annotate(
    folder: Annotated[Path, Argument(metavar="DIR", help="your images (jpg, png)")],
    joints: Joints = None,
    annotator: Annotated[
        str | None, Option(metavar="NAME", help="whose answers (default: the login name)")
    ] = None,
    strategy: Annotated[
        str | None, Option(help="kinematic, insertion, merge or all (default: kinematic)")
    ] = None,
    port: Annotated[int, Option(min=0, max=65535, help="of the page; 0 for any free one")] = 0,
    no_browser: Annotated[bool, Option("--no-browser", help="print the address only")] = False,
    export: Annotated[
        bool, Option("--export", help="write all answers to DIR/annotations/export, and end")
    ] = False,
) -> None:
    """Label which joints are closer, in the browser."""
    from ordlib.labelling.exporting import export_folder
    from ordlib.labelling.server import serve
    from ordlib.labelling.session import Session

    if export:
        _say(export_folder(folder, joints).text())
        return
    session = Session(folder, annotator, joints, strategy)
    serve(session, port, not no_browser, _say)


@app.command()
def photographs(
    folder: Annotated[Path, Argument(metavar="DIR", help="photographs, with 2D joints")],
    more: Annotated[list[Path] | None, Argument(hidden=True, metavar="IMAGE")] = None,
    joints: Joints = None,
    test: Annotated[
        int | None, Option(min=1, metavar="N", help="the last N are the test (default: a fifth)")
    ] = None,
    predict: Annotated[
        list[Path] | None, Option(metavar="IMAGE...", help="of one person, to be drawn at the end")
    ] = None,
    scale: Scale = "quick",
    seed: Seed = 0,
    device: Device = "auto",
    out: Out = None,
) -> None:
    """Learn from your photographs beside the stand-ins, and test on some of them."""
    from ordlib import experiments
    from ordlib.experiments import photographs
    from ordlib.experiments.tables import write_csv
    from ordlib.predict import draw, result_names

    setting = experiments.Setting(scale, seed, device=device)
    out = out or outputs_root() / "local" / "photographs"
    images = [*(predict or []), *(more or [])]  # `--predict a.jpg b.jpg` leaves the second one over
    result_names(images, out)  # what is wrong is said before the training
    dataset = photographs.read(folder, joints, get_scale(scale).image_size)
    training, held_out = photographs.split(dataset, test)
    _say(photographs.summary(training, held_out))
    table = photographs.compare(training, held_out, setting)
    write_csv(table, out / "photographs.csv")
    trained = photographs.train(training, setting)
    draw(trained, images, out)
    _say(photographs.text(table))
    _say(f"weights: {trained.source['weights']}\ntable and figures: {out}")


@app.command()
def datasets(folder: Annotated[Path, Argument(metavar="DIR", help="four folders deep")]) -> None:
    """List the real data sets in a folder, with their problems."""
    from ordlib.datasets.recognise import recognise, table

    _say(table(recognise(folder), folder))


def _say(line: str) -> None:
    print(line, flush=True)


def _complain(message: Any) -> None:
    print(f"ordlib: error: {message}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        status = app(arguments, prog_name="ordlib", standalone_mode=False) or 0
    except typer.TyperException as error:
        _complain(f"{error.format_message().rstrip('.')}; see `python -m ordlib --help`")
        return 2
    except InputError as error:
        _complain(error)
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or error}")
        return 2
    if status == 130:
        print("\nordlib: interrupted; the same command continues", file=sys.stderr)
    return status
