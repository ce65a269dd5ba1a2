"""The command line: reproduce, train, tables, predict, annotate, photographs, datasets.

Status 2: bad input.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ordlib.errors import InputError
from ordlib.files import outputs_folder, outputs_root
from ordlib.scales import SCALES, check_seed, get_scale

PRECISIONS = ("32-true", "bf16-mixed")
Action = Callable[[argparse.Namespace], int]

# Imports inside the commands: Papermill and pandas take seconds that --help should not cost.


def _reproduce(args: argparse.Namespace) -> int:
    from ordlib.experiments.reproduce import NotebookFailed, reproduce, tables_text

    names = ("only", "data", "outputs", "jobs", "force")
    options = {name: getattr(args, name) for name in names}
    try:
        folder = reproduce(args.scale, args.seed, args.device, **options, say=_say)
    except NotebookFailed as error:
        print(f"ordlib: error: {error}", file=sys.stderr)
        return 1
    _say(f"\n{tables_text(folder)}".rstrip())
    for part in ("notebooks", "figures", "tables"):
        _say(f"{part + ':':<11}{folder / part}")
    return 0


def _train(args: argparse.Namespace) -> int:
    from ordlib import experiments

    names = ("scale", "seed", "data", "device", "precision", "compile")
    setting = experiments.Setting(**{name: getattr(args, name) for name in names})
    for row in args.rows:
        experiments.get_row(row)
    experiments.train(args.rows, [setting], args.jobs)
    _say(f"runs: {setting.folder / 'runs'}")
    return 0


def _tables(args: argparse.Namespace) -> int:
    from ordlib.experiments.reproduce import tables_text

    folder = outputs_folder(args.scale, args.data)
    text = tables_text(folder)
    if not text:
        raise InputError(
            f"{folder / 'tables'}: expected CSV files, found none; "
            f"`make reproduce SCALE={args.scale}` writes them"
        )
    _say(text)
    return 0


def _predict(args: argparse.Namespace) -> int:
    from ordlib.distributed import resolve_device
    from ordlib.predict import predict_files

    if args.box and len(args.images) != 1:
        raise InputError(f"--box: expected one image, found {len(args.images)}")
    boxes = [tuple(args.box) if args.box else None for _ in args.images]
    device = resolve_device(args.device)
    out = args.out or outputs_root() / "local" / "predictions"
    predict_files(args.images, boxes, args.row, args.scale, args.seed, device, out)
    _say(f"figures and joints: {out}")
    return 0


def _annotate(args: argparse.Namespace) -> int:
    from ordlib.labelling.exporting import export_folder
    from ordlib.labelling.server import serve, summary
    from ordlib.labelling.session import Session

    if args.export:
        _say(export_folder(args.folder, args.joints).text())
        return 0
    session = Session(args.folder, args.annotator, args.joints, args.strategy)
    placed = all(session.labels.placed)
    if session.joints is None and not placed:
        _say("joints: no file (joints.mat, .json or .csv) has them, so they are clicked first")
    elif session.joints is not None and placed and session.joints.problems():
        _say(f"joints: left out: {session.joints.problems()}")
    _say(summary(session))
    serve(session, args.port, not args.no_browser, _say)
    return 0


def _photographs(args: argparse.Namespace) -> int:
    from ordlib import experiments
    from ordlib.datasets import album
    from ordlib.experiments import photographs
    from ordlib.experiments.results import write_csv
    from ordlib.images import load_image
    from ordlib.predict import result_names

    setting = experiments.Setting(args.scale, args.seed, device=args.device)
    out = args.out or outputs_root() / "local" / "photographs"
    result_names(args.predict, out)  # what is wrong is said before the training
    for path in args.predict:
        load_image(path)
    dataset = album.read(args.folder, args.joints, get_scale(args.scale).image_size)
    train, test = album.split(dataset, args.test)
    _say(photographs.summary(train, test))
    table = photographs.compare(train, test, setting)
    write_csv(table, out / "photographs.csv")
    trained = photographs.train(train, setting)
    photographs.draw(trained, args.predict, out)
    _say(photographs.text(table))
    _say(f"weights: {trained.folder}\ntable and figures: {out}")
    return 0


def _datasets(args: argparse.Namespace) -> int:
    from ordlib.datasets.recognise import recognise, table

    _say(table(recognise(args.folder), args.folder))
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a positive whole number, found {text!r}")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected a port of 0 to 65535, found {text!r}")
    return int(text)


def _common(kept: bool = False) -> argparse.ArgumentParser:
    """Options of every subcommand; with kept weights, these decide scale and seed."""
    common = argparse.ArgumentParser(add_help=False)
    scale, seed = ("the largest with weights", "theirs") if kept else ("quick", "0")
    text = f"{', '.join(SCALES)} (default: {scale})"
    common.add_argument("--scale", default=None if kept else "quick", help=text)
    common.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    text = f"seed of every draw (default: {seed})"
    common.add_argument("--seed", type=int, default=None if kept else 0, help=text)
    return common


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ordlib", description=(__doc__ or "").split(".")[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    data = argparse.ArgumentParser(add_help=False)
    text = "real data sets, which take the place of stand-ins, and motion capture for their poses"
    data.add_argument("--data", metavar="DIR", help=text)
    workers = argparse.ArgumentParser(add_help=False)
    workers.add_argument(
        "--jobs", type=_positive, metavar="N", help="networks trained at a time, and notebooks run"
    )

    def command(
        name: str,
        action: Action,
        text: str,
        *parents: argparse.ArgumentParser,
        kept: bool = False,
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, parents=[_common(kept), *parents], help=text, description=f"{text}."
        )
        sub.set_defaults(action=action)
        return sub

    text = "Train what is missing, run the notebooks, print the tables"
    sub = command("reproduce", _reproduce, text, data, workers)
    sub.add_argument("--only", metavar="09,04", help="numbers or names of the notebooks to run")
    sub.add_argument("--outputs", type=Path, metavar="DIR", help="root of all results")
    sub.add_argument("--force", action="store_true", help="do not continue an interrupted run")

    sub = command("train", _train, "Train networks by row of a table", data, workers)
    sub.add_argument("rows", nargs="+", metavar="ROW", help="such as table1/depth/weak")
    text = "32-true or bf16-mixed, which pays where the hardware has bf16 (default: %(default)s)"
    sub.add_argument("--precision", default="32-true", choices=PRECISIONS, help=text)
    sub.add_argument(
        "--compile", action="store_true", help="compile networks: slow start, fast steps"
    )

    command("tables", _tables, "Print the tables of a scale", data)

    text = "Pose of the person in each image, as figure and JSON"
    sub = command("predict", _predict, text, kept=True)
    sub.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    sub.add_argument(
        "--box",
        nargs=3,
        type=float,
        metavar=("X", "Y", "SIDE"),
        help="centre and side of the person's square in pixels (default: the whole image)",
    )
    text = "network of the tables, trained first if it is not (default: the full method's weights)"
    sub.add_argument("--row", help=text)
    sub.add_argument("--out", type=Path, metavar="DIR", help="where figures and JSON files go")

    sub = command("annotate", _annotate, "Label which joints are closer, in the browser")
    sub.add_argument("folder", type=Path, metavar="DIR", help="your images (jpg, png)")
    text = "2D joints: .mat, .json or .csv (default: joints.* in DIR, else they are clicked first)"
    sub.add_argument("--joints", type=Path, metavar="FILE", help=text)
    sub.add_argument("--annotator", metavar="NAME", help="whose answers (default: the login name)")
    text = "which pair is asked next: kinematic, insertion, merge or all (default: kinematic)"
    sub.add_argument("--strategy", metavar="NAME", help=text)
    sub.add_argument("--port", type=_port, default=0, help="of the page (default: any free one)")
    sub.add_argument("--no-browser", action="store_true", help="print the address only")
    text = "write the answers of all annotators to DIR/annotations/export, and end"
    sub.add_argument("--export", action="store_true", help=text)

    text = "Learn from your photographs beside the stand-ins, and test on some of them"
    sub = command("photographs", _photographs, text)
    text = "photographs with 2D joints, annotated and exported or not"
    sub.add_argument("folder", type=Path, metavar="DIR", help=text)
    text = "2D joints, which are then all that is used (default: the export, or joints.* in DIR)"
    sub.add_argument("--joints", type=Path, metavar="FILE", help=text)
    text = "how many photographs, the last by name, are for the test (default: a fifth)"
    sub.add_argument("--test", type=_positive, metavar="N", help=text)
    text = "images, each cropped to one person, whose pose is drawn with the trained network"
    sub.add_argument("--predict", nargs="+", type=Path, default=[], metavar="IMAGE", help=text)
    text = "where table and figures go"
    sub.add_argument("--out", type=Path, metavar="DIR", help=text)

    sub = command("datasets", _datasets, "List the real data sets in a folder, with their problems")
    sub.add_argument("folder", type=Path, metavar="DIR", help="searched four folders deep")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 for a failed notebook, 2 for bad input."""
    args = _parser().parse_args(arguments)
    try:
        if args.scale is not None:
            get_scale(args.scale)
        if args.seed is not None:
            check_seed(args.seed)
        return args.action(args)
    except InputError as error:
        print(f"ordlib: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"ordlib: error: {where}{error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nordlib: interrupted; the same command continues", file=sys.stderr)
        return 130
