"""The full method, trained, in files small enough to be kept with the results.

`outputs/<scale>/weights` holds two safetensors files: the ConvNet of `table2/ordinal` and the
reconstruction component. Kernels and matrices are in half precision, biases and batch norms in
single precision. Their metadata say what they are and all sizes, so nothing else is read.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ordlib import experiments
from ordlib.errors import InputError
from ordlib.experiments import Run, Setting
from ordlib.experiments.components import component
from ordlib.files import outputs_folder, outputs_root, replacing
from ordlib.networks import PoseEstimator, ReconstructionNet, VolumeNet
from ordlib.scales import SCALES, get_scale
from ordlib.skeleton import H36M17

ROW = "table2/ordinal"
"""The row of the full method's ConvNet; with the component it is `Ours` in Tables 2, 4 and 5."""

CONVNET, COMPONENT = "convnet.safetensors", "reconstruction.safetensors"
Network = TypeVar("Network", bound=nn.Module)
_OWNER = ("row", "scale", "seed", "run")


@dataclass(frozen=True)
class Weights:
    """Weights of the full method that lie in a folder.

    Attributes:
        folder: has the files `CONVNET` and `COMPONENT`.
        row, scale, seed: of the run that they come from.
        convnet, component: sizes of the two parts.
    """

    folder: Path
    row: str
    scale: str
    seed: int
    convnet: Mapping[str, int]
    component: Mapping[str, Any]

    def estimator(self) -> PoseEstimator:
        """The full method in evaluation mode, on the CPU.

        Raises:
            InputError: a file is damaged.
        """
        sizes = {k: v for k, v in self.convnet.items() if k != "image_size"}
        network = self._filled(CONVNET, partial(VolumeNet, **sizes))
        component = self._filled(COMPONENT, partial(ReconstructionNet, **self.component))
        return PoseEstimator(network, component, self.convnet["image_size"]).eval()

    def _filled(self, name: str, build: Callable[..., Network]) -> Network:
        """A network with the weights of a file."""
        path = self.folder / name
        try:
            # on no device: nothing is drawn, and wrong sizes take no memory
            with torch.device("meta"):
                network = build(joints=len(H36M17))
            tensors = _tensors(path)
            if set(tensors) != set(network.state_dict()):  # torch lets counters be absent
                raise ValueError("not the tensors of this network")
            network.load_state_dict(tensors, assign=True)
            return network
        except (SafetensorError, RuntimeError, TypeError, ValueError, OSError) as error:
            raise _unusable(path, self.scale, error) from error


def _tensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if not all(value.isfinite().all() for value in tensors.values()):
        raise ValueError("values that are not finite")
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def save(run: Run, component: ReconstructionNet) -> Weights:
    """Write the weights of a finished run and of the component behind it.

    Args:
        run: of the row `ROW`.
        component: of the same setting, see `experiments.components`.

    Raises:
        InputError: another row; weights that half precision cannot hold; a folder that cannot be
            written.
    """
    if run.row.id != ROW:
        raise InputError(f"run: expected one of {ROW}, found {run.row.id}")
    folder = run.setting.folder / "weights"
    scale = run.scale
    owner = dict(zip(_OWNER, (ROW, scale.name, run.setting.seed, run.folder.name), strict=True))
    sizes = {name: getattr(scale, name) for name in ("features", "levels", "depth_bins")}
    sizes |= {"stacks": run.row.stacks, "image_size": scale.image_size}
    first = component.first
    shape = {"width": first[0].out_features, "units": len(component.units), "dropout": first[3].p}
    _write(folder / CONVNET, run.network(), {**owner, "sizes": sizes})
    _write(folder / COMPONENT, component, {**owner, "sizes": shape})
    return find(scale.name, run.setting.data)


def _write(path: Path, network: nn.Module, config: dict[str, Any]) -> None:
    tensors = {name: _small(value) for name, value in network.state_dict().items()}
    if not all(value.isfinite().all() for value in tensors.values()):
        raise InputError(f"{path}: expected weights that half precision holds, found larger ones")
    with replacing(path) as temporary:
        # one entry: several would be written in any order
        save_file(tensors, temporary, metadata={"config": json.dumps(config, sort_keys=True)})


def _small(value: Tensor) -> Tensor:
    value = value.detach().cpu().contiguous()
    return value.half() if value.ndim > 1 else value


def find(scale: str | None = None, data: str | None = None) -> Weights:
    """Which weights there are, without reading them.

    Args:
        scale: name of a scale; None for the largest one that has weights, `smoke` left out.
        data: folder of data that the runs learned from.

    Raises:
        InputError: unknown scale, no weights, or files that are damaged or not of one run.
    """
    names = [name for name in reversed(SCALES) if name != "smoke"]
    if scale is None:
        present = [name for name in names if (_folder(name, data) / CONVNET).exists()]
        if not present:
            raise InputError(
                f"{outputs_root()}: expected SCALE/weights of {', '.join(names)}, found none;"
                " `make reproduce ONLY=15` writes them"
            )
        scale = present[0]
    folder = _folder(get_scale(scale).name, data)
    configs = [_config(folder / name, scale) for name in (CONVNET, COMPONENT)]
    owners = [tuple(config[key] for key in _OWNER) for config in configs]
    if owners[0] != owners[1] or owners[0][1] != scale:
        reason = f"those of {owners[1]} beside {owners[0]}"
        raise _unusable(folder / COMPONENT, scale, ValueError(reason))
    return Weights(folder, *owners[0][:3], *(config["sizes"] for config in configs))


def _folder(scale: str, data: str | None) -> Path:
    return outputs_folder(scale, data) / "weights"


def _config(path: Path, scale: str) -> dict[str, Any]:
    """What a file says of itself."""
    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {})["config"])
        if set(config) != {*_OWNER, "sizes"}:
            raise ValueError(f"the entries {', '.join(map(str, config))}")
        if path.name == CONVNET and not isinstance(config["sizes"]["image_size"], int):
            raise ValueError("no size of images")
        return config
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise _unusable(path, scale, error) from error


def _unusable(path: Path, scale: str, error: Exception) -> InputError:
    found = str(error).splitlines()[0] if path.exists() else "no file"
    return InputError(
        f"{path}: expected weights of the full method, found {found};"
        f" `make reproduce SCALE={scale} ONLY=15` writes them"
    )


def load(scale: str | None = None, data: str | None = None) -> PoseEstimator:
    """The full method from its weights, in evaluation mode on the CPU; see `find`.

    Raises:
        InputError: as `find`.
    """
    return find(scale, data).estimator()


def is_ready(setting: Setting) -> bool:
    """Whether `renew` gives weights of this seed without training the ConvNet.

    Kept weights do not count where there is a folder of data: they may come from another one.
    """
    if Run(experiments.get_row(ROW), setting).done:
        return True
    kept = not setting.data and (_folder(setting.scale, None) / CONVNET).exists()
    return kept and find(setting.scale).seed == setting.seed


def renew(setting: Setting) -> Weights:
    """Write the weights of the finished run, where there is one; and say which weights there are.

    Raises:
        InputError: as `find` and `experiments.run`.
    """
    run = Run(experiments.get_row(ROW), setting)
    return save(run, component(setting)) if run.done else find(setting.scale, setting.data)
