"""Pinhole cameras fitted to joints whose positions in space and in the image are both known.

Where a data set gives 3D and 2D joints but no camera, the two tell it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import rq
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from ordlib.camera import BOX_MARGIN_PX
from ordlib.errors import InputError

_H36M_FOCAL_PX = 1147.0
_MOST_POINTS = 5000  # more do not change a fit of ten numbers
_SMALLEST_SPREAD = 1e-9  # of squared singular values; below, the points do not settle the camera


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in the world.

    Attributes:
        intrinsics: pinhole matrix K, without skew, pixels.
        rotation: from the world's axes to the camera's: x right, y down, z away.
        shift: from the world to the camera, x = rotation X + shift, unit of the world.
        error_px: mean distance between the given and the projected positions.
    """

    intrinsics: Float[np.ndarray, "3 3"]
    rotation: Float[np.ndarray, "3 3"]
    shift: Float[np.ndarray, " 3"]
    error_px: float

    def to_camera(self, points: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
        """Points of the world in the camera frame."""
        return points @ self.rotation.T + self.shift


def margin_px(focal_px: float) -> float:
    """Margin around a pose that spans the angle of `BOX_MARGIN_PX` in a camera of Human3.6M."""
    return BOX_MARGIN_PX * focal_px / _H36M_FOCAL_PX


def fit_intrinsics(
    points: Float[np.ndarray, "points 3"], pixels: Float[np.ndarray, "points 2"], source: str
) -> tuple[Float[np.ndarray, "3 3"], float]:
    """K of points in the camera frame, by linear least squares: u = fx x/z + cx, v likewise.

    Args:
        points: any unit, z away from the camera.
        pixels: their positions in the image.
        source: what the message of an error begins with.

    Returns:
        The pinhole matrix, and the mean distance of the projected from the given positions, px.

    Raises:
        InputError: points that are not in front of the camera, or that settle no camera.
    """
    if not (points[:, 2] > 0).all():
        raise InputError(
            f"{source}: expected joints in front of the camera (z > 0),"
            f" found z = {points[:, 2].min():g}"
        )
    rays = points[:, :2] / points[:, 2:]
    intrinsics = np.eye(3)
    for axis in (0, 1):
        design = np.stack([rays[:, axis], np.ones(len(rays))], 1)
        (focal, centre), *_ = np.linalg.lstsq(design, pixels[:, axis])
        intrinsics[axis, axis], intrinsics[axis, 2] = focal, centre
    if not (np.ptp(rays, 0) > 0).all() or intrinsics[0, 0] <= 0 or intrinsics[1, 1] <= 0:
        raise InputError(
            f"{source}: expected 2D and 3D joints of one pinhole camera, found focal lengths"
            f" {intrinsics[0, 0]:g} and {intrinsics[1, 1]:g} px"
        )
    projected = rays @ intrinsics[:2, :2].T + intrinsics[:2, 2]
    return intrinsics, float(np.linalg.norm(projected - pixels, axis=-1).mean())


def fit_camera(
    points: Float[np.ndarray, "points 3"], pixels: Float[np.ndarray, "points 2"], source: str
) -> Camera:
    """The camera that sees points of the world at given positions in the image.

    The direct linear transform gives all twelve numbers of the 3 x 4 matrix, an RQ decomposition
    its parts, and least squares on the pixels refines them, with no skew.

    Args:
        points: world frame, any unit, axes of a right-handed frame.
        pixels: their positions in the image.
        source: what the message of an error begins with.

    Raises:
        InputError: points that lie on a plane or otherwise settle no camera.
    """
    step = max(1, len(points) // _MOST_POINTS)
    some, seen = points[::step], pixels[::step]
    matrix = _direct_linear_transform(some, seen, source)
    upper, rotation = rq(matrix[:, :3])
    signs = np.sign(np.diag(upper))
    upper, rotation = upper * signs, signs[:, None] * rotation
    # A fit of the wrong sign has det -1: the scale of the matrix is free, its sign too.
    turn = np.sign(np.linalg.det(rotation))
    shift = turn * np.linalg.solve(upper, matrix[:, 3])
    intrinsics, rotation = upper / upper[2, 2], turn * rotation
    start = np.concatenate(
        [
            [intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]],
            Rotation.from_matrix(rotation).as_rotvec(),
            shift,
        ]
    )
    if ((some @ rotation.T + shift)[:, 2] <= 0).any():
        raise InputError(
            f"{source}: expected 2D and 3D joints of one pinhole camera, found joints behind the"
            " camera that fits best"
        )
    found = least_squares(lambda p: (_project(p, some) - seen).ravel(), start, x_scale="jac")
    error = float(np.linalg.norm(_project(found.x, points) - pixels, axis=-1).mean())
    fx, fy, cx, cy = found.x[:4]
    return Camera(
        intrinsics=np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]),
        rotation=Rotation.from_rotvec(found.x[4:7]).as_matrix(),
        shift=found.x[7:],
        error_px=error,
    )


def _project(camera: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Pixels of points; the camera is fx, fy, cx, cy, rotation vector and shift."""
    seen = Rotation.from_rotvec(camera[4:7]).apply(points) + camera[7:]
    return camera[:2] * seen[:, :2] / seen[:, 2:] + camera[2:4]


def _direct_linear_transform(points: np.ndarray, pixels: np.ndarray, source: str) -> np.ndarray:
    """(3, 4) matrix P with pixel ~ P (X, 1), up to scale; both sides are normalised first."""
    scaled, to_points = _normalised(points)
    seen, to_pixels = _normalised(pixels)
    ones, zeros = np.ones((len(points), 1)), np.zeros((len(points), 4))
    x = np.concatenate([scaled, ones], 1)
    first = np.concatenate([x, zeros, -seen[:, :1] * x], 1)
    second = np.concatenate([zeros, x, -seen[:, 1:] * x], 1)
    design = np.concatenate([first, second])
    values, vectors = np.linalg.eigh(design.T @ design)
    if len(points) < 6 or values[1] < _SMALLEST_SPREAD * values[-1]:
        raise InputError(
            f"{source}: expected joints that settle a camera, found {len(points)} that do not:"
            " they are too few, or lie on a plane"
        )
    return np.linalg.solve(to_pixels, vectors[:, 0].reshape(3, 4) @ to_points)


def _normalised(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of mean 0 and spread 1, and the homogeneous matrix that makes them so."""
    centre, spread = points.mean(0), max(float(points.std()), np.finfo(float).tiny)
    size = points.shape[1]
    matrix = np.eye(size + 1) / spread
    matrix[:size, size] = -centre / spread
    matrix[size, size] = 1
    return (points - centre) / spread, matrix
