"""The command line: arguments, messages, exit status."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from ordlib.cli import main
from ordlib.distributed import resolve_device
from ordlib.errors import InputError
from ordlib.experiments import Setting


@pytest.fixture
def trained(monkeypatch) -> list:
    """Calls of `experiments.train`, which does nothing here."""
    calls: list = []
    monkeypatch.setattr(
        "ordlib.experiments.train", lambda *args, **options: calls.append((*args, options))
    )
    return calls


@pytest.fixture
def predictions(monkeypatch):
    calls = []
    fake = SimpleNamespace(predict_files=lambda *args: calls.append(args))
    monkeypatch.setitem(sys.modules, "ordlib.predict", fake)
    return calls


@pytest.mark.parametrize("command", ["reproduce", "train", "tables", "predict", "annotate"])
def test_each_command_has_help_and_the_common_options(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(option in text for option in ("--scale", "--device", "--seed"))


def test_module_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "ordlib", "tables", "--scale", "huge"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    expected = "ordlib: error: scale: expected one of smoke, quick, desk, paper, found 'huge'"
    assert done.stderr.splitlines()[-1] == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reproduce", "--scale", "huge"], "found 'huge'"),
        (["reproduce", "--device", "tpu"], "cpu"),
        (["train", "table9/x"], "one of table1/depth/weak, "),
        (["train", "table1/depth/weak", "--device", "cuda:99"], "found 'cuda:99'"),
        (
            ["train", "table1/depth/weak", "--data", "nowhere"],
            "folder of data sets, found nothing",
        ),
        (["reproduce", "--data", "ordlib"], "LSP + MPII Ordinal: ordinal.mat"),
        (["tables", "--scale", "smoke"], "make reproduce SCALE=smoke"),
        (["predict", "a.png", "b.png", "--box", "1", "2", "3"], "expected one image, found 2"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments, message, trained, predictions, capsys, outputs
):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("ordlib: error: ")
    assert message in line
    assert not outputs.exists()


@pytest.mark.parametrize(
    "arguments",
    [[], ["dance"], ["train"], ["train", "x", "--jobs", "0"], ["tables", "--seed", "x"]],
)
def test_wrong_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_train_passes_everything_on(trained, outputs, capsys):
    rows = ["table1/depth/full", "table1/depth/weak"]
    options = ["--scale", "smoke", "--seed", "3", "--device", "cpu", "--jobs", "2", "--compile"]
    assert main(["train", *rows, *options]) == 0
    assert trained == [(rows, [Setting("smoke", 3, device="cpu", compile=True)], 2, {})]
    assert str(outputs / "smoke" / "runs") in capsys.readouterr().out


def test_predict_takes_one_box_for_one_image(predictions, tmp_path, capsys):
    common = ["--device", "cpu", "--out", str(tmp_path)]
    assert main(["predict", "a.png", "b.png", *common]) == 0
    assert main(["predict", "a.png", "--box", "10", "20.5", "30", "--row", "r", *common]) == 0
    assert [[str(path) for path in call[0]] for call in predictions] == [
        ["a.png", "b.png"],
        ["a.png"],
    ]
    assert predictions[0][1:] == ([None, None], None, None, None, "cpu", tmp_path)
    assert predictions[1][1:3] == ([(10.0, 20.5, 30.0)], "r")


def test_interruption_says_how_to_continue(monkeypatch, capsys):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("ordlib.experiments.train", interrupted)
    assert main(["train", "table1/depth/weak"]) == 130
    assert "the same command continues" in capsys.readouterr().err


def test_devices():
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") in {"cpu", "cuda"}
    for name in ("cuda:99", "tpu", "", "CPU", "cuda:-1"):
        with pytest.raises(InputError, match=r"auto, cpu, cuda, cuda:N or mps.*auto, cpu"):
            resolve_device(name)
