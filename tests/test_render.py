"""The renderer against projected joints, a dense ray-part search, and its own promises."""

from dataclasses import replace

import pytest
import torch

from ordlib.errors import InputError
from ordlib.skeleton import H36M17
from ordlib.synthetic import render as renderer
from ordlib.synthetic.body import PART_NAMES, STYLES, build, sample_appearance
from ordlib.synthetic.render import render, trace
from ordlib.synthetic.scenes import KINDS, sample_scene

SIZE = 48


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _t_pose() -> torch.Tensor:
    """(17, 3) mm: a person who faces the camera with arms spread, pelvis at the origin."""
    half = {
        "hip": (134, 0, 0),
        "knee": (150, 449, -10),
        "ankle": (160, 890, 10),
        "shoulder": (145, -440, 0),
        "elbow": (425, -440, 5),
        "wrist": (675, -440, 0),
    }
    middle = {
        "pelvis": (0, 0, 0),
        "spine": (0, -238, 10),
        "thorax": (0, -490, 0),
        "jaw": (0, -587, -64),
        "head_top": (0, -702, -50),
    }
    rows = []
    for name in H36M17.joints:
        side, _, place = name.partition("_")
        x, y, z = middle[name] if name in middle else half[place]
        rows.append((x if side != "right" else -x, y, z))
    return torch.tensor(rows, dtype=torch.float32)


def _turned(degrees: float, distance_mm: float = 4500.0) -> torch.Tensor:
    angle = torch.deg2rad(torch.tensor(degrees))
    c, s = float(angle.cos()), float(angle.sin())
    turn = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return _t_pose() @ turn.T + torch.tensor([0.0, 0.0, distance_mm])


def _crop(count: int, size: int = SIZE, focal_px: float = 2.2, shift: float = 0.0) -> torch.Tensor:
    """Pinhole matrices that see about 2 m at 4.5 m; `focal_px` in widths of the crop."""
    k = torch.tensor(
        [[focal_px * size, 0, size / 2 + shift], [0, focal_px * size, size / 2], [0, 0, 1.0]]
    )
    return k.expand(count, 3, 3)


def _people(count: int, style: str = "studio", seed: int = 1):
    return sample_appearance(count, style, _generator(seed))


def _views(count: int = 3) -> torch.Tensor:
    return torch.stack([_turned(360.0 * i / count + 20) for i in range(count)])


@pytest.mark.parametrize("size", [33, 64])
def test_every_joint_projects_onto_the_body(size):
    joints = _views(4)
    intrinsics = _crop(4, size, shift=1.3)
    result = trace(joints, intrinsics, _people(4), size)
    px = joints @ intrinsics.transpose(1, 2)
    px = (px[..., :2] / px[..., 2:]).floor().long()
    picked = torch.arange(4)[:, None]
    at = result.depth_mm[picked, px[..., 1], px[..., 0]]
    # Joints lie inside: the surface is in front of each, or on a nearer part of the body.
    assert (result.part[picked, px[..., 1], px[..., 0]] >= 0).all()
    assert (at < joints[..., 2] + 40).all()


def test_part_at_a_joint_is_the_limb_that_has_it():
    joints = _turned(0.0)[None]
    found = trace(joints, _crop(1, 96), _people(1), 96).part[0]
    middle = (joints[0, 15] + joints[0, 16]) / 2  # right forearm, unoccluded
    x, y = (96 * 2.2 * middle[:2] / middle[2] + 48).floor().long()
    names = PART_NAMES
    assert names[found[y, x]] == "forearm"
    assert found[y, x] < names.index("left_hip")  # right limbs come first in the table


def test_depth_agrees_with_a_search_along_each_ray():
    joints, size = _views(2), 20
    intrinsics, people = _crop(2, size), _people(2)
    result = trace(joints, intrinsics, people, size)
    bodies = build(joints, people)
    steps = torch.arange(3500.0, 5500.0, 2.0, dtype=torch.float64)
    for image, row, column in [(0, 9, 10), (1, 10, 10), (0, 5, 8), (1, 4, 12), (0, 14, 9)]:
        pixel = torch.tensor([column + 0.5, row + 0.5, 1.0], dtype=torch.float64)
        points = steps[:, None] * (torch.linalg.inv(intrinsics[image].double()) @ pixel)
        q = torch.einsum(
            "kij,nkj->nki", bodies.axes[image], points[:, None] - bodies.origin_mm[image]
        )
        profile = bodies.profile[image]
        radius = profile[:, 0] + profile[:, 1] * q[..., 2] + profile[:, 2] * q[..., 2] ** 2
        inside = q[..., 0] ** 2 + (q[..., 1] / bodies.depth) ** 2 <= radius
        inside &= (q[..., 2] >= 0) & (q[..., 2] <= bodies.length_mm[image])
        first = inside.any(1).nonzero()[:, 0]
        depth = result.depth_mm[image, row, column]
        if len(first) == 0:
            assert depth.isinf()
        else:
            assert abs(float(depth) - float(steps[first[0]])) < 3.0


def test_the_nearer_of_two_crossing_arms_wins():
    joints = _turned(0.0)
    index = {name: i for i, name in enumerate(H36M17.joints)}
    hand = torch.tensor([0.0, -250.0, 4500.0])
    for near, far in (("left", "right"), ("right", "left")):
        pose = joints.clone()
        for side, z, sign in ((near, -450.0, 1), (far, -250.0, -1)):
            lateral = sign * (1 if near == "left" else -1)
            pose[index[f"{side}_elbow"]] = hand + torch.tensor([lateral * 200.0, 0, z])
            pose[index[f"{side}_wrist"]] = hand + torch.tensor([-lateral * 150.0, 0, z])
        found = trace(pose[None], _crop(1, 64), _people(1), 64)
        row = int(64 * 2.2 * -250.0 / (4500.0 - 450) + 32)
        limbs = found.part[0, row, 32] >= PART_NAMES.index("left_hip")
        assert bool(limbs) == (near == "left")
        assert abs(float(found.depth_mm[0, row, 32]) - 4050) < 80


def test_mirrored_person_gives_the_mirrored_mask():
    joints = _views(3)
    mirrored = (joints * torch.tensor([-1.0, 1, 1]))[:, list(H36M17.flip)]
    people = _people(3)
    mask = trace(joints, _crop(3), people, SIZE).part >= 0
    other = trace(mirrored, _crop(3), people, SIZE).part >= 0
    assert (mask != other.flip(2)).float().mean() < 2e-3
    assert 0.03 < mask.float().mean() < 0.5


def test_mask_grows_with_girth_and_ignores_clothes():
    joints, people = _views(3), _people(3)
    mask = trace(joints, _crop(3), people, SIZE).part >= 0
    dressed = replace(_people(3, "wild", 9), shape=people.shape)
    assert torch.equal(trace(joints, _crop(3), dressed, SIZE).part >= 0, mask)
    wide = replace(people, shape=people.shape * 1.2)
    assert (trace(joints, _crop(3), wide, SIZE).part >= 0).sum() > 1.1 * mask.sum()
    pictures = [
        render(joints, _crop(3), who, sample_scene(3, "studio", _generator()), SIZE, _generator())
        for who in (people, dressed)
    ]
    assert (pictures[0] != pictures[1]).any(1)[mask].float().mean() > 0.5


def test_a_nearer_person_is_larger():
    joints = torch.stack([_turned(0.0, 4500.0), _turned(0.0, 6500.0)])
    near, far = trace(joints, _crop(2), _people(1).take(torch.tensor([0, 0])), SIZE).part >= 0
    assert near.sum() > 1.6 * far.sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("style", STYLES)
def test_images_have_the_promised_type_and_vary(kind, style):
    scene = sample_scene(3, kind, _generator(2))
    images = render(_views(3), _crop(3), _people(3, style), scene, SIZE, _generator())
    assert images.dtype == torch.uint8 and images.shape == (3, 3, SIZE, SIZE)
    assert (images.float().flatten(1).std(1) > 8).all()
    assert (scene.up.norm(dim=1) - 1).abs().max() < 1e-5
    assert ((scene.light * scene.up).sum(1) > 0).all()


def test_random_draws_come_from_the_generator_alone():
    def picture(global_seed: int, seed: int) -> torch.Tensor:
        torch.manual_seed(global_seed)
        g = _generator(seed)
        people, scene = sample_appearance(2, "wild", g), sample_scene(2, "outdoor", g)
        return render(_views(2), _crop(2), people, scene, SIZE, g)

    assert torch.equal(picture(1, 5), picture(2, 5))
    assert not torch.equal(picture(1, 5), picture(1, 6))


def test_chunks_do_not_change_the_result(monkeypatch):
    joints, people, scene = _views(5), _people(5), sample_scene(5, "indoor", _generator())
    whole = render(joints, _crop(5), people, scene, SIZE, _generator())
    traced = trace(joints, _crop(5), people, SIZE)
    monkeypatch.setattr(renderer, "_CHUNK_PIXELS", {"cpu": 2 * SIZE * SIZE})
    assert torch.equal(trace(joints, _crop(5), people, SIZE).part, traced.part)
    parts = render(joints, _crop(5), people, scene, SIZE, _generator())
    assert (parts.int() - whole.int()).abs().max() <= 1


@pytest.mark.parametrize("case", ["point", "line", "arm_at_camera", "behind", "inside"])
def test_degenerate_poses_give_finite_images(case):
    joints = _turned(30.0)[None].clone()
    if case == "point":
        joints[:] = torch.tensor([0.0, 0.0, 4000.0])
    elif case == "line":
        joints[..., 0] = 0.0
        joints[..., 2] = 4500.0
    elif case == "arm_at_camera":
        joints[:, 15:] = joints[:, 14:15] * torch.tensor([0.94, 0.89])[:, None]
    elif case == "behind":
        joints[..., 2] -= 9000.0
    else:
        joints[..., 2] -= 4500.0
    bodies = build(joints, _people(1))
    assert bodies.axes.isfinite().all() and bodies.profile.isfinite().all()
    scene = sample_scene(1, "outdoor", _generator())
    people = _people(1)
    found = trace(joints, _crop(1), people, SIZE)
    assert not found.depth_mm.isnan().any()
    if case in ("behind", "inside"):
        assert found.depth_mm.min() > 0
    images = render(joints, _crop(1), people, scene, SIZE, _generator())
    assert images.shape == (1, 3, SIZE, SIZE)


def test_taking_people_and_scenes_repeats_them():
    rows = torch.tensor([1, 1, 0])
    people, scene = _people(2).take(rows), sample_scene(2, "studio", _generator()).take(rows)
    assert torch.equal(people.palette[0], people.palette[1])
    assert len(scene.up) == 3 and torch.equal(scene.light[0], scene.light[1])
    assert people.to("cpu").shape.shape == (3, 6) and scene.to("cpu").wall_mm.shape == (3,)


def test_bad_input_is_named():
    joints, scene = _views(2), sample_scene(2, "studio", _generator())
    with pytest.raises(InputError, match="style: found 'loud'"):
        sample_appearance(1, "loud", _generator())
    with pytest.raises(InputError, match="kind: found 'moon'"):
        sample_scene(1, "moon", _generator())
    with pytest.raises(InputError, match="appearance: found 3 entries, expected 2"):
        render(joints, _crop(2), _people(3), scene, SIZE, _generator())
    with pytest.raises(InputError, match="finite"):
        render(joints * torch.nan, _crop(2), _people(2), scene, SIZE, _generator())
    with pytest.raises(InputError, match="size: found 0"):
        render(joints, _crop(2), _people(2), scene, 0, _generator())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_sees_the_same_body():
    joints, people = _views(3), _people(3)
    here = trace(joints, _crop(3), people, SIZE).part
    there = trace(joints.cuda(), _crop(3).cuda(), people.to("cuda"), SIZE).part.cpu()
    assert (here != there).float().mean() < 2e-3
    scene = sample_scene(3, "indoor", torch.Generator("cuda").manual_seed(0))
    images = render(
        joints.cuda(), _crop(3).cuda(), people.to("cuda"), scene, SIZE,
        torch.Generator("cuda").manual_seed(0),
    )  # fmt: skip
    assert images.is_cuda and images.dtype == torch.uint8
