import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ordlib.camera import rotation_matrix
from ordlib.errors import InputError
from ordlib.skeleton import H36M17, mean_limb_lengths
from ordlib.synthetic.domains import TRAINING_SUBJECTS, sample_limb_lengths, studio_limb_lengths
from ordlib.synthetic.poses import (
    ACTIONS,
    ANGLES,
    DAILY,
    H36M_ACTIONS,
    LIMITS,
    chain,
    forward_kinematics,
    sample_angles,
    sample_poses,
    within_limits,
)

J = {name: index for index, name in enumerate(H36M17.joints)}
UPRIGHT = ("Directions", "Discussion", "Greeting", "Photo", "Waiting", "Walking", "WalkTogether")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pose_of(**degrees):
    """One pose with the given angles (`l_knee` for `l.knee`), the others zero."""
    angles = torch.zeros(1, len(ANGLES))
    for name, value in degrees.items():
        name = name[0] + "." + name[2:] if name[1] == "_" else name
        angles[0, ANGLES.index(name)] = value
    return forward_kinematics(angles, mean_limb_lengths()[None])[0]


def limb(pose, joint):
    """Unit direction of the bone that ends in a joint."""
    bone = pose[..., J[joint], :] - pose[..., H36M17.parents[J[joint]], :]
    return bone / bone.norm(dim=-1, keepdim=True)


def bend(poses, joint, end):
    """Angle between a limb's two bones, degrees; 0 is straight."""
    cosine = (limb(poses, joint) * limb(poses, end)).sum(-1).clamp(-1, 1)
    return torch.rad2deg(cosine.acos())


def test_person_stands_upright_facing_the_camera_with_left_at_plus_x():
    pose = pose_of()
    assert pose[J["head_top"], 1] < -550 and pose[J["left_ankle"], 1] > 850
    assert pose[J["left_hip"], 0] > 100 and pose[J["left_wrist"], 0] > 100
    assert pose[J["jaw"], 2] < pose[J["thorax"], 2]
    torch.testing.assert_close(
        pose * torch.tensor([-1.0, 1, 1]), pose[list(H36M17.flip)], rtol=0, atol=0.01
    )
    shoulders = (pose[J["left_shoulder"]] + pose[J["right_shoulder"]]) / 2
    assert 40 < shoulders[1] - pose[J["thorax"], 1] < 60


@pytest.mark.parametrize(
    ("degrees", "joint", "direction"),
    [
        ({"l_elbow": 90}, "left_wrist", (0, 0, -1)),
        ({"r_knee": 90}, "right_ankle", (0, 0, 1)),
        ({"r_hip_flex": 90}, "right_knee", (0, 0, -1)),
        ({"l_hip_abduct": 45}, "left_knee", (0.7071, 0.7071, 0)),
        ({"l_shoulder_abduct": 90}, "left_elbow", (1, 0, 0)),
        ({"r_shoulder_abduct": 90}, "right_elbow", (-1, 0, 0)),
        ({"l_shoulder_flex": 170}, "left_elbow", (0, -0.985, -0.174)),
        ({"l_elbow": 90, "l_shoulder_twist": 80}, "left_wrist", (-0.985, 0, -0.174)),
        ({"r_elbow": 90, "r_shoulder_twist": 80}, "right_wrist", (0.985, 0, -0.174)),
        ({"l_knee": 90, "l_hip_twist": -40}, "left_ankle", (-0.643, 0, 0.766)),
        ({"spine_twist": 45}, "left_shoulder", (0.666, 0.336, 0.666)),
        ({"tilt_forward": 90}, "left_knee", (0, 0, 1)),
        ({"tilt_side": 90}, "left_knee", (-1, 0, 0)),
    ],
)
def test_each_angle_turns_its_bone_as_documented(degrees, joint, direction):
    found = limb(pose_of(**degrees), joint)
    torch.testing.assert_close(found, torch.tensor(direction).float(), rtol=0, atol=2e-3)


@pytest.mark.parametrize("action", ACTIONS)
def test_bone_lengths_are_those_given_and_hips_straddle_the_pelvis(action):
    lengths = sample_limb_lengths(40, seeded(1))
    poses = sample_poses(action, lengths, seeded())
    assert poses.shape == (40, 17, 3) and poses.dtype == torch.float32
    parents = list(H36M17.parents[1:])
    torch.testing.assert_close((poses[:, 1:] - poses[:, parents]).norm(dim=-1), lengths)
    hips = (poses[:, J["left_hip"]] + poses[:, J["right_hip"]]) / 2
    torch.testing.assert_close(hips, poses[:, 0], rtol=0, atol=1e-3)


@pytest.mark.parametrize("action", ACTIONS)
def test_joints_stay_within_their_limits(action):
    angles = sample_angles(action, 200, seeded())
    low, high, _ = torch.tensor(list(LIMITS.values())).T
    assert (angles >= low).all() and (angles <= high).all()
    poses = forward_kinematics(angles, mean_limb_lengths().expand(200, -1))
    for side in ("left", "right"):
        assert bend(poses, f"{side}_knee", f"{side}_ankle").max() < 150.1
        assert bend(poses, f"{side}_elbow", f"{side}_wrist").max() < 150.1


@pytest.mark.parametrize("action", UPRIGHT)
def test_knees_point_forward(action):
    poses = sample_poses(action, mean_limb_lengths().expand(300, -1), seeded())
    for side in ("left", "right"):
        thigh, shin = limb(poses, f"{side}_knee"), limb(poses, f"{side}_ankle")
        bent = bend(poses, f"{side}_knee", f"{side}_ankle") > 20
        assert ((shin - thigh)[bent, 2] > 0).all()


@pytest.mark.parametrize("action", ["Walking", "WalkTogether", "Jogging"])
def test_elbows_point_backward(action):
    poses = sample_poses(action, mean_limb_lengths().expand(300, -1), seeded())
    for side in ("left", "right"):
        upper, fore = limb(poses, f"{side}_elbow"), limb(poses, f"{side}_wrist")
        hanging = (upper[:, 1] > 0.9) & (bend(poses, f"{side}_elbow", f"{side}_wrist") > 25)
        assert hanging.any() and ((fore - upper)[hanging, 2] < 0).all()


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.floats(1, 400))
def test_limits_are_a_projection(seed, size):
    angles = size * torch.randn(5, len(ANGLES), generator=seeded(seed))
    inside = within_limits(angles)
    torch.testing.assert_close(within_limits(inside), inside)
    swing = inside[:, [ANGLES.index("l.shoulder_flex"), ANGLES.index("l.shoulder_abduct")]]
    assert swing.norm(dim=-1).max() < 175.01


def test_left_and_right_are_equally_likely():
    poses = sample_poses("Directions", mean_limb_lengths().expand(2000, -1), seeded())
    raised = poses[:, J["left_wrist"], 1] < poses[:, J["right_wrist"], 1]
    assert 0.46 < raised.float().mean() < 0.54


def test_actions_can_be_told_apart():
    lengths = mean_limb_lengths().expand(200, -1)
    known = [sample_poses(a, lengths, seeded(1)).flatten(1) for a in H36M_ACTIONS]
    asked = [sample_poses(a, lengths[:40], seeded(2)).flatten(1) for a in H36M_ACTIONS]
    distance = torch.cdist(torch.cat(asked), torch.cat(known))
    votes = distance.topk(5, largest=False).indices // 200
    right = votes.mode(-1).values == torch.arange(15).repeat_interleave(40)
    assert right.float().mean() > 0.6  # chance is 0.067
    assert right.reshape(15, 40).float().mean(1).min() > 0.3


def test_characteristic_features_of_actions():
    def sample(action):
        return sample_poses(action, mean_limb_lengths().expand(300, -1), seeded())

    def hand_to_head(poses):
        wrists = poses[:, [J["left_wrist"], J["right_wrist"]]]
        return (wrists - poses[:, [J["jaw"]]]).norm(dim=-1).amin(-1)

    assert (hand_to_head(sample("Phoning")) < 320).float().mean() > 0.8
    assert (hand_to_head(sample("Walking")) < 320).float().mean() < 0.02
    for action, highest in (("Sitting", 650.0), ("SittingDown", 500.0)):
        ankles = sample(action)[:, [J["left_ankle"], J["right_ankle"]], 1]
        assert ankles.amax(-1).quantile(0.9) < highest
    walk = sample("Walking")
    arms = walk[:, J["left_wrist"], 2] - walk[:, J["right_wrist"], 2]
    legs = walk[:, J["left_ankle"], 2] - walk[:, J["right_ankle"], 2]
    assert torch.corrcoef(torch.stack([arms, legs]))[0, 1] < -0.5


def test_daily_life_is_upright_and_broad_activities_are_not():
    def slant(action):
        poses = sample_poses(action, mean_limb_lengths().expand(300, -1), seeded())
        up = -poses[:, J["thorax"], 1] / poses[:, J["thorax"]].norm(dim=-1)
        return torch.rad2deg(up.clamp(-1, 1).acos())

    assert all(slant(action).quantile(0.8) < 65 for action in DAILY)
    assert (slant("on the floor") > 65).float().mean() > 0.4
    assert (slant("sports") > 65).float().mean() > 0.2


def test_draws_depend_on_the_generator_alone():
    first = sample_poses("Eating", sample_limb_lengths(7, seeded(3)), seeded(4))
    torch.manual_seed(99)
    torch.rand(5)
    torch.testing.assert_close(
        sample_poses("Eating", sample_limb_lengths(7, seeded(3)), seeded(4)), first, rtol=0, atol=0
    )


def test_training_subjects_average_to_the_published_lengths():
    lengths = studio_limb_lengths(TRAINING_SUBJECTS)
    torch.testing.assert_close(lengths.mean(0), mean_limb_lengths(), rtol=1e-6, atol=0)
    assert lengths.std(0).min() > 1.5
    thigh, shin, arm = studio_limb_lengths(("S9",))[0, [1, 2, 11]]
    assert (thigh, shin, arm) == pytest.approx((472.2, 468.6, 296.3), abs=0.5)


def test_chain_inverts_bone_directions():
    lengths = sample_limb_lengths(3, seeded())
    poses = sample_poses("sports", lengths, seeded(1))
    directions = (poses[:, 1:] - poses[:, list(H36M17.parents[1:])]) / lengths[..., None]
    torch.testing.assert_close(chain(directions, lengths), poses, rtol=1e-4, atol=0.01)


def test_unknown_action():
    with pytest.raises(InputError, match=r"action: expected one of Directions.*found 'Dancing'"):
        sample_poses("Dancing", mean_limb_lengths()[None], seeded())


def test_rotation_is_that_of_the_vector():
    vectors = 3 * torch.randn(50, 3, generator=seeded(), dtype=torch.float64)
    vectors[0], vectors[1] = 0, 1e-9
    expected = torch.from_numpy(Rotation.from_rotvec(vectors.numpy()).as_matrix())
    torch.testing.assert_close(rotation_matrix(vectors), expected)
