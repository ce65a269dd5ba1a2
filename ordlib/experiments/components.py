"""The reconstruction component of a setting, trained once."""

from dataclasses import asdict

from ordlib import reconstruction
from ordlib.camera import project
from ordlib.datasets.frames import FrameDataset
from ordlib.errors import InputError
from ordlib.experiments import roles
from ordlib.experiments.setting import Setting
from ordlib.files import VERSION, digest, kept
from ordlib.networks import ReconstructionNet
from ordlib.skeleton import H36M17
from ordlib.training import load_weights, save_weights


def component(setting: Setting, domain: str = "studio") -> ReconstructionNet:
    """The component, trained on the poses of a role: read if it is done.

    Poses of a real data set are taken before the cameras that filmed them.

    Returns:
        The network in evaluation mode, on the CPU.

    Raises:
        InputError: a role without poses to learn from; weights that are damaged.
    """
    config = reconstruction.CONFIGS[setting.scale]
    key = digest([asdict(config), VERSION, roles.fingerprint(domain, setting.data)])
    folder = setting.folder / "runs" / f"reconstruction-{domain}-seed{setting.seed}-{key}"
    path = folder / "weights.safetensors"
    with kept(folder) as missing:
        if missing:
            poses = _training_poses(setting, domain)
            trained = reconstruction.fit(poses, config, setting.seed, setting.device)
            save_weights(path, trained, folder.name)
    network = ReconstructionNet(len(H36M17), config.width, dropout=config.dropout)
    load_weights(path, network, folder.name)
    return network.eval()


def _training_poses(setting: Setting, domain: str) -> reconstruction.Skeletons:
    """The people of a stand-in before random cameras, or of a real split before its own."""
    if not setting.real:
        count = reconstruction.CONFIGS[setting.scale].skeletons
        return reconstruction.training_skeletons(
            count, setting.seed, domain=domain, motion=setting.motion
        )
    if missing := roles.lacking([domain], setting.data):
        raise InputError(f"data: expected {missing[0]} in {setting.data}, found none")
    dataset = setting.load(domain, "train")
    if not isinstance(dataset, FrameDataset):
        title = roles.ROLES[domain].title
        raise InputError(
            f"domain: expected one with 3D poses to learn from, found {domain!r} ({title})"
        )
    joints, intrinsics = dataset.frames.joints_mm, dataset.frames.intrinsics
    return reconstruction.Skeletons(joints, project(joints, intrinsics), intrinsics)
