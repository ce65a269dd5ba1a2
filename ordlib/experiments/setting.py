"""Everything beside the row that a result depends on, in one object."""

from dataclasses import dataclass, replace
from pathlib import Path

from ordlib.data import PoseDataset
from ordlib.datasets.mocap import MotionCapture
from ordlib.distributed import resolve_device
from ordlib.errors import InputError
from ordlib.experiments import roles
from ordlib.files import outputs_folder
from ordlib.scales import check_seed, get_scale

PRECISIONS = ("32-true", "bf16-mixed")


@dataclass(frozen=True)
class Setting:
    """What a notebook or a command asks for; the device alone changes no result.

    Raises:
        InputError: unknown scale, device or precision; no seed; a folder without data sets.
    """

    scale: str = "quick"  # a name in `scales.SCALES`
    seed: int = 0  # of data, weights, order and augmentation; the first one of a table
    data: str | None = None  # folder of real data sets and of motion capture, see `roles`
    device: str = "auto"  # auto, cpu, cuda, cuda:N or mps; found here
    precision: str = "32-true"
    compile: bool = False  # see `training.Budget`

    def __post_init__(self) -> None:
        get_scale(self.scale)
        if self.precision not in PRECISIONS:
            raise InputError(
                f"precision: expected {' or '.join(PRECISIONS)}, found {self.precision!r}"
            )
        object.__setattr__(self, "seed", check_seed(self.seed))
        object.__setattr__(self, "data", roles.data_folder(self.data))
        object.__setattr__(self, "device", resolve_device(self.device))

    @property
    def folder(self) -> Path:
        """Where the results of this scale lie."""
        return outputs_folder(self.scale, self.data)

    @property
    def motion(self) -> MotionCapture | None:
        """The motion capture that gives the stand-ins' poses, if there is one."""
        return roles.motion(self.data)

    @property
    def real(self) -> bool:
        """Whether real data sets play roles, and stand-ins are in no table."""
        return bool(roles.real(self.data))

    def seeds(self) -> "list[Setting]":
        """One setting for each seed that the tables of this scale average."""
        return [replace(self, seed=self.seed + k) for k in range(get_scale(self.scale).seeds)]

    def load(self, domain: str, split: str) -> PoseDataset:
        """The data set that plays a role, see `roles.load`."""
        return roles.load(domain, split, self.scale, self.seed, data=self.data, device=self.device)
