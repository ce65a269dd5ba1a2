"""Making the samples of a domain, a chunk at a time."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Generator, Tensor
from tqdm import tqdm

from ordlib.annotation import PERSON, annotate
from ordlib.camera import crop_intrinsics, pose_box, project, rotation_matrix, self_occluded
from ordlib.shapes import Intrinsics, Joints3D
from ordlib.skeleton import H36M17, LSP14_IN_H36M17
from ordlib.synthetic.body import Appearance, sample_appearance
from ordlib.synthetic.domains import Domain, generator, sample_limb_lengths
from ordlib.synthetic.people import (
    ClipPoses,
    Motion,
    PoseSource,
    PriorPoses,
    evenly,
    film,
    place_cameras,
)
from ordlib.synthetic.render import render
from ordlib.synthetic.scenes import Scene, sample_scene

CHUNK = 500
"""Images made at a time: it bounds memory, and each chunk has its own random generator."""

ORDINAL_JOINTS = tuple(sorted(LSP14_IN_H36M17))
"""The joints of H36M17 that LSP's 14 joints cover."""


@dataclass(frozen=True)
class Filmed:
    """People in front of cameras, before an image is made of them."""

    joints_mm: Joints3D
    intrinsics: Intrinsics  # of the square crop
    up: Float[Tensor, "batch 3"]  # the vertical in the camera frame
    meta: Int64[Tensor, "batch 5"]  # codes of subject, action, camera, frame and part


def _face_up(scene: Scene, up: Float[Tensor, "batch 3"]) -> Scene:
    """The scene, ground and light, turned so that its `up` is the camera's."""
    axis = torch.linalg.cross(scene.up, up)
    sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, (scene.up * up).sum(-1, keepdim=True))
    turn = rotation_matrix(F.normalize(axis, dim=-1) * angle)
    light = (turn @ scene.light[..., None])[..., 0]
    return Scene(**{**vars(scene), "up": up, "light": light})


def _wardrobe(people: int, domain: Domain, draws: Generator) -> Appearance:
    """Looks of each person in each outfit, the outfits of one person side by side."""
    looks = sample_appearance(people * domain.outfits, domain.style, draws)
    first = torch.arange(people).repeat_interleave(domain.outfits) * domain.outfits
    return looks.take(first).wearing(looks)


class Maker:
    """Makes the samples of one stored split.

    People and rooms are the same in all splits of a seed. Poses come from `motion` where it is
    given, else from the built-in prior.
    """

    def __init__(
        self,
        domain: Domain,
        split: str,
        count: int,
        size: int,
        seed: int,
        motion: Motion | None = None,
        device: str = "cpu",
    ) -> None:
        self.domain, self.split_name, self.split = domain, split, domain.splits[split]
        self.count, self.size, self._device = count, size, device
        self._key = (seed, domain.name, split)
        self.source: PoseSource = (
            ClipPoses(motion, self.split) if motion else PriorPoses(domain, split, seed)
        )
        self._person = torch.tensor([domain.people.index(p) for p in self.split.people])
        looks = generator(seed, domain.name, "people")
        self._looks = _wardrobe(max(len(domain.people), 1), domain, looks)
        cameras = domain.cameras.count
        centre = torch.tensor([[0.0, -900.0, 0.0]]).expand(cameras, 3)
        room = generator(domain.name, "rig")
        self._rig = place_cameras(domain.cameras, cameras, centre, room) if cameras else None

    @property
    def names(self) -> dict[str, list[str]]:
        """What the codes in `meta` index."""
        return {
            "subject": list(self.split.people) or [""],
            "action": list(self.source.actions),
            "camera": [f"C{k + 1}" for k in range(self.domain.cameras.count)] or [""],
            "part": list(self.domain.parts),
        }

    def chunks(self) -> Iterator[dict[str, np.ndarray]]:
        """Arrays of all samples, in order: see `_labels`, and `images` (B, 3, size, size) uint8."""
        # shown on a terminal only
        title = f"rendering {self.domain.name} {self.split_name}"
        for start in tqdm(range(0, self.count, CHUNK), title, unit_scale=CHUNK, disable=None):
            index = torch.arange(start, min(start + CHUNK, self.count))
            arrays = self._chunk(index, start // CHUNK)
            yield {name: array.cpu().numpy() for name, array in arrays.items()}

    def filmed(self) -> Iterator[Filmed]:
        """The people of all images, in order, without rendering any."""
        for start in range(0, self.count, CHUNK):
            index = torch.arange(start, min(start + CHUNK, self.count))
            yield self._film(index, generator(*self._key, start // CHUNK))[0]

    def _film(self, index: Tensor, draws: Generator) -> tuple[Filmed, Appearance]:
        meta = self._meta(index, draws)
        known = self._person[meta[:, 0]] if len(self._person) else None
        lengths = (
            sample_limb_lengths(len(index), draws)
            if known is None
            else self.domain.limb_lengths_mm[known]
        )
        poses, meta[:, 1] = self.source.draw(index, meta[:, 0], lengths, draws)
        looks = (
            sample_appearance(len(index), self.domain.style, draws)
            if known is None
            else self._looks.take(known * self.domain.outfits + meta[:, 1] % self.domain.outfits)
        )
        joints, intrinsics, up = film(poses, self.domain.cameras, self._rig, meta[:, 2], draws)
        centre_px, side_px = pose_box(project(joints, intrinsics))
        intrinsics = crop_intrinsics(intrinsics, centre_px, side_px, self.size)
        return Filmed(joints, intrinsics, up, meta), looks

    def _chunk(self, index: Tensor, number: int) -> dict[str, Tensor]:
        draws = generator(*self._key, number)
        people, looks = self._film(index, draws)
        images = torch.empty(len(index), 3, self.size, self.size, dtype=torch.uint8)
        for part, (_, kind) in enumerate(self.domain.parts.values()):
            rows = (people.meta[:, 4] == part).nonzero()[:, 0]
            if len(rows):
                scene = _face_up(self._scenes(kind, people.meta[rows, 2], draws), people.up[rows])
                images[rows] = self._render(
                    people.joints_mm[rows],
                    people.intrinsics[rows],
                    looks.take(rows),
                    scene,
                    draws,
                )
        labels = self._labels(people.joints_mm, people.intrinsics, number)
        return {"images": images, "meta": people.meta, **labels}

    def _meta(self, index: Tensor, draws: Generator) -> Tensor:
        """Codes (B, 5): subject, action (set later), camera, frame, part."""
        people = max(len(self.split.people), 1)
        subject = (index // len(self.domain.actions)) % people
        cameras = max(self.domain.cameras.count, 1)
        camera = torch.randint(cameras, index.shape, generator=draws)
        part = evenly(index, [w for w, _ in self.domain.parts.values()], math.sqrt(2))
        return torch.stack([subject, torch.zeros_like(index), camera, index, part], -1)

    def _scenes(self, kind: str, camera: Tensor, draws: Generator) -> Scene:
        """A room's cameras each see one scene; elsewhere each image has its own."""
        if not self.domain.cameras.count:
            return sample_scene(len(camera), kind, draws)
        room = generator(self._key[0], self.domain.name, "room")
        return sample_scene(self.domain.cameras.count, kind, room).take(camera)

    def _render(
        self, joints: Tensor, intrinsics: Tensor, looks: Appearance, scene: Scene, draws: Generator
    ) -> Tensor:
        noise = draws  # a generator belongs to one device
        if torch.device(self._device).type != "cpu":
            number = int(torch.randint(2**40, (), generator=draws))
            noise = Generator(self._device).manual_seed(number)
        joints, intrinsics = joints.to(self._device), intrinsics.to(self._device)
        looks, scene = looks.to(self._device), scene.to(self._device)
        return render(joints, intrinsics, looks, scene, self.size, noise).cpu()

    def _labels(self, joints: Tensor, intrinsics: Tensor, number: int) -> dict[str, Tensor]:
        """What the domain gives: metric joints, or people's ordering and nothing metric."""
        keypoints = project(joints, intrinsics)
        labels = {"intrinsics": intrinsics, "keypoints_px": keypoints}
        if self.domain.metric:
            return {**labels, "joints_mm": joints}
        asked = torch.tensor(LSP14_IN_H36M17)
        annotations = annotate(
            joints[:, asked, 2],
            PERSON,
            generator=generator(*self._key, "annotators", number),
            hidden=self_occluded(joints)[:, asked],
        )
        relations = torch.zeros(len(joints), len(H36M17), len(H36M17), dtype=torch.int8)
        relations[:, asked[:, None], asked] = annotations.relations
        absent = torch.ones(len(H36M17), dtype=torch.bool)
        absent[asked] = False
        return {
            "intrinsics": intrinsics,
            "keypoints_px": keypoints.masked_fill(absent[:, None], 0.0),
            "relations": relations,
        }
