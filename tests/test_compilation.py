"""Compiled networks learn what others do, but for rounding."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from test_training import batch_at, small_network
from torch import nn

from ordlib.data import PoseBatch
from ordlib.training import Budget, fit, load_weights


# PyTorch's compiler imports parts of PyTorch that are on their way out
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize(("precision", "tolerance"), [("32-true", 1e-4), ("bf16-mixed", 0.05)])
def test_compilation_changes_losses_by_rounding(
    tmp_path: Path, precision: str, tolerance: float
) -> None:
    def loss(network: nn.Module, batch: PoseBatch) -> dict[str, torch.Tensor]:
        return {
            "error": (network(batch.images).float() - batch.keypoints_px[..., 0]).square().mean()
        }

    logs = []
    for compile in (False, True):
        folder = tmp_path / str(compile)
        budget = Budget(30, "adam", 1e-2, "cosine", precision=precision, compile=compile)
        fit(small_network(), batch_at, loss, budget, folder)
        logs.append(pd.read_csv(folder / "log.csv"))
    pd.testing.assert_frame_equal(*logs, check_exact=False, rtol=tolerance)
    # weights keep their names, so that they load without a compiler
    load_weights(folder, small_network())
