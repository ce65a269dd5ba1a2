"""One training step of the full-size two-hourglass network, by memory layout and precision.

Read the ratios: the plain layout and precision is what most public code runs. bf16 pays only on a
CPU with bf16 instructions (AVX512-BF16 or AMX) and is skipped where there are none.
"""

import pytest
import torch

from ordlib.networks import VolumeNet
from ordlib.volume import bin_centres_mm, expected_depth, marginals

BATCH, SIZE = 4, 256
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def step(network: VolumeNet, optimizer: torch.optim.Optimizer, images, precision) -> None:
    bins = bin_centres_mm(64).to(images.device)
    kind = images.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=precision == torch.bfloat16):
        volumes = network(images)
    loss = torch.zeros((), device=images.device)
    for scores in volumes:
        p_xy, p_z = marginals(scores)
        loss = loss + p_xy.square().sum() + expected_depth(p_z, bins).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@pytest.mark.benchmark(group="full-size training step, batch 4")
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_step(benchmark, device: str, layout: str, precision: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    if device == "cpu" and precision == "bfloat16" and not _cpu_has_bf16():
        pytest.skip("this CPU has no bf16 instructions; bf16 would be emulated and slow")
    torch.manual_seed(0)
    network = VolumeNet(2).to(device, memory_format=LAYOUTS[layout])
    optimizer = torch.optim.RMSprop(network.parameters(), lr=2.5e-4)
    images = torch.randn(BATCH, 3, SIZE, SIZE, device=device)
    benchmark.pedantic(
        step,
        (network, optimizer, images, getattr(torch, precision)),
        rounds=3,
        warmup_rounds=1,
    )
    benchmark.extra_info["images_per_second"] = BATCH / benchmark.stats.stats.median


def _cpu_has_bf16() -> bool:
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()
