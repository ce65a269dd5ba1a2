"""The command line: arguments, messages, exit status."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from ordlib.cli import main
from ordlib.distributed import resolve_device
from ordlib.errors import InputError
from ordlib.experiments import Setting

COMMANDS = ("reproduce", "train", "tables", "predict", "annotate", "photographs", "datasets")
WEAK = "table1/depth/weak"


@pytest.fixture
def trained(monkeypatch) -> list:
    """Calls of `experiments.train`, which does nothing here."""
    calls: list = []
    monkeypatch.setattr("ordlib.experiments.train", lambda *args: calls.append(args))
    return calls


@pytest.fixture
def predictions(monkeypatch):
    calls = []
    fake = SimpleNamespace(predict_files=lambda *args: calls.append(args))
    monkeypatch.setitem(sys.modules, "ordlib.predict", fake)
    return calls


@pytest.mark.parametrize(
    ("code", "slow"),
    [
        ("from ordlib.cli import main; main(['--help'])", "papermill pandas tornado rich"),
        (
            "import ordlib.predict, ordlib.experiments.reproduce, ordlib.annotation, ordlib.plots",
            "",
        ),
    ],
)
def test_nothing_slow_is_imported_before_it_is_needed(code, slow):
    names = ["torch._dynamo", "lightning_fabric", *slow.split()]
    code = f"import sys; {code}; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--help" not in code or all(f"\n  {name} " in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command, capsys):
    assert main([command, "--help"]) == 0
    assert f"Usage: ordlib {command} [OPTIONS]" in capsys.readouterr().out


def test_module_runs_as_a_program():
    command = [sys.executable, "-m", "ordlib", "tables", "--scale", "huge"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    expected = "ordlib: error: scale: expected one of smoke, quick, desk, paper, found 'huge'\n"
    assert done.stderr == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reproduce", "--scale", "huge"], "found 'huge'"),
        (["reproduce", "--device", "tpu"], "cpu"),
        (["train", "table9/x"], "one of table1/depth/weak, "),
        (["train", WEAK, "--device", "cuda:99"], "found 'cuda:99'"),
        (["train", WEAK, "--seed", "-1"], "seed: expected a whole number from 0"),
        (["train", WEAK, "--precision", "8"], "precision: expected 32-true or bf16-mixed"),
        (
            ["train", WEAK, "--data", "nowhere"],
            "nowhere: expected a folder of data sets",
        ),
        (["tables", "--scale", "smoke"], "make reproduce SCALE=smoke"),
        (["predict", "a.png", "b.png", "--box", "1", "2", "3"], "expected one image, found 2"),
        ([], "Missing command"),
        (["dance"], "No such command 'dance'"),
        (["train"], "Missing argument 'ROW'"),
        (["train", WEAK, "--jobs", "0"], "'--jobs'"),
        (["train", WEAK, "--seed", "x"], "'--seed'"),
        (["annotate", ".", "--port", "70000"], "'--port'"),
        (["predict", "a.png", "--box", "1", "2"], "'--box' requires 3 arguments"),
        (["tables", "--mocap", "there"], "No such option: --mocap"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, message, predictions, capsys, outputs):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("ordlib: error: ")
    assert message in line
    assert not outputs.exists()


def test_train_passes_everything_on(trained, outputs, capsys):
    rows = ["table1/depth/full", WEAK]
    options = ["--scale", "smoke", "--seed", "3", "--device", "cpu", "--jobs", "2", "--compile"]
    assert main(["train", *rows, *options]) == 0
    assert trained == [(rows, [Setting("smoke", 3, device="cpu", compile=True)], 2)]
    assert str(outputs / "smoke" / "runs") in capsys.readouterr().out


def test_predict_takes_one_box_for_one_image(predictions, tmp_path):
    common = ["--device", "cpu", "--out", str(tmp_path)]
    assert main(["predict", "a.png", "b.png", *common]) == 0
    assert main(["predict", "a.png", "--box", "-10", "20.5", "30", "--row", "r", *common]) == 0
    assert [[str(path) for path in call[0]] for call in predictions] == [
        ["a.png", "b.png"],
        ["a.png"],
    ]
    assert predictions[0][1:] == (None, None, None, None, "cpu", tmp_path)
    assert predictions[1][1:3] == ((-10.0, 20.5, 30.0), "r")


def test_interruption_says_how_to_continue(monkeypatch, capsys):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("ordlib.experiments.train", interrupted)
    assert main(["train", WEAK]) == 130
    assert "the same command continues" in capsys.readouterr().err


def test_devices():
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") in {"cpu", "cuda"}
    for name in ("cuda:99", "tpu", "", "CPU", "cuda:-1"):
        with pytest.raises(InputError, match=r"auto, cpu, cuda, cuda:N or mps.*auto, cpu"):
            resolve_device(name)
