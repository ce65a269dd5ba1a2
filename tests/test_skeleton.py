"""Joint sets are trees with true mirrors, and conversion goes by name."""

import pytest
import torch

from ordlib.errors import InputError
from ordlib.skeleton import (
    H36M17,
    HUMANEVA15,
    LSP14,
    LSP14_IN_H36M17,
    MPI3DHP17,
    MPII16,
    Skeleton,
    convert,
)

ALL = [H36M17, LSP14, MPII16, HUMANEVA15, MPI3DHP17]
each = pytest.mark.parametrize("skeleton", ALL, ids=lambda skeleton: skeleton.name)


@each
def test_parents_lead_to_one_root(skeleton):
    assert skeleton.parents.count(-1) == 1
    for joint in range(len(skeleton)):
        steps = 0
        while joint != skeleton.root:
            joint, steps = skeleton.parents[joint], steps + 1
            assert steps < len(skeleton)


@each
def test_mirror_swaps_left_and_right_and_nothing_else(skeleton):
    for joint, mirrored in enumerate(skeleton.flip):
        name, other = skeleton.joints[joint], skeleton.joints[mirrored]
        swapped = name.replace("left", "*").replace("right", "left").replace("*", "right")
        assert other == swapped
        assert skeleton.flip[mirrored] == joint


@each
def test_mirror_keeps_the_tree(skeleton):
    for parent, child in skeleton.bones:
        assert skeleton.parents[skeleton.flip[child]] == skeleton.flip[parent]


def test_human36m_order_is_the_usual_one():
    assert H36M17.parents == (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
    assert H36M17.flip_pairs == ((1, 4), (2, 5), (3, 6), (11, 14), (12, 15), (13, 16))
    assert [child for _, child in H36M17.bones] == list(range(1, 17))


def test_human36m_to_mpi_inf_3dhp_is_the_published_permutation():
    order = torch.arange(17.0)[:, None]
    expected = [10, 8, 14, 15, 16, 11, 12, 13, 1, 2, 3, 4, 5, 6, 0, 7, 9]
    assert convert(order, H36M17, MPI3DHP17)[:, 0].tolist() == expected


def test_joints_of_lsp_in_human36m():
    names = [H36M17.joints[joint] for joint in LSP14_IN_H36M17]
    assert names == [name.replace("neck", "thorax") for name in LSP14.joints]


def test_there_and_back_is_the_identity():
    poses = torch.randn(2, 3, 17, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(convert(convert(poses, H36M17, MPI3DHP17), MPI3DHP17, H36M17), poses)


def test_missing_pelvis_is_the_middle_of_the_hips():
    without = Skeleton("two hips", ("left_hip", "right_hip"), (-1, 0), ((0, 1),))
    target = Skeleton("one", ("pelvis",), (-1,), ())
    found = convert(torch.tensor([[0.0, 2.0], [4.0, 8.0]]), without, target)
    assert found.tolist() == [[2.0, 5.0]]


def test_bad_input_is_named():
    with pytest.raises(InputError, match=r"LSP14 has no .*spine.*which H36M17 needs"):
        convert(torch.zeros(14, 3), LSP14, H36M17)
    with pytest.raises(InputError, match="expected 17 joints"):
        convert(torch.zeros(16, 3), H36M17, LSP14)
    with pytest.raises(InputError, match=r"H36M17.*'nose'|'nose'.*H36M17"):
        H36M17.index("nose")
