"""Batched closest-hit renderer: perspective, light and shade, cloth, background, sensor.

A ray d from the camera meets the quadric x'Ax - 2b'x + 1 = 0 first at inverse depth
1/t = b'd + sqrt((b'd)^2 - d'Ad). Both terms are polynomials of the pixel's coordinates, so all
parts of all people are intersected by one small matrix product; the closest part is the maximum.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor

from ordlib.errors import InputError
from ordlib.synthetic import body
from ordlib.synthetic.body import Appearance, Bodies
from ordlib.synthetic.scenes import Scene, background

_CHUNK_PIXELS = {"cpu": 1 << 17, "cuda": 1 << 21}  # temporaries of a chunk fit the CPU's cache
_ID_BITS = 31  # low bits of the inverse depth that carry the part's number


class Trace(NamedTuple):
    """What each pixel sees of the person.

    Attributes:
        part: number of the closest part, -1 for none.
        depth_mm: z of the hit, infinite for none.
    """

    part: Int64[Tensor, "batch height width"]
    depth_mm: Float[Tensor, "batch height width"]


def _grid(size: int, device: torch.device) -> Tensor:
    """(3, P) homogeneous pixel centres, scaled to -1 to 1, row by row."""
    line = (torch.arange(size, device=device) * 2 + 1.0) / size - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)]).flatten(1)


def _unproject(intrinsics: Tensor, size: int) -> Tensor:
    """(B, 3, 3) float64 matrices that take `_grid` coordinates to rays with z = 1."""
    half = size / 2
    to_px = intrinsics.new_tensor([[half, 0, half], [0, half, half], [0, 0, 1]]).double()
    return torch.linalg.inv(intrinsics.double()) @ to_px


def _quadratics(bodies: Bodies, unproject: Tensor) -> tuple[Tensor, ...]:
    """Polynomials in the pixel's coordinates: discriminant, b'd, long axis; and the clipping."""
    squares = torch.ones_like(bodies.profile)
    squares[..., 1] = bodies.depth**-2
    squares[..., 2] = -bodies.profile[..., 2]
    axes = bodies.axes
    shift = (axes @ bodies.origin_mm[..., None])[..., 0]  # origin in the part's coordinates
    linear = squares * shift
    linear[..., 2] = linear[..., 2] + bodies.profile[..., 1] / 2
    constant = (squares * shift**2).sum(-1) + bodies.profile[..., 1] * shift[..., 2]
    constant = constant - bodies.profile[..., 0]
    to_part = axes @ unproject[:, None]
    slope = torch.einsum("bki,bkij->bkj", linear, to_part) / constant[..., None]
    form = to_part.transpose(-1, -2) @ (squares[..., None] * to_part) / constant[..., None, None]
    form = slope[..., :, None] * slope[..., None, :] - form
    xx, xy, x1, yy, y1, one = (
        form[..., i, j] * (1 if i == j else 2) for i in range(3) for j in range(i, 3)
    )
    # A camera inside a part does not see it.
    one = torch.where(constant > 0, one, -torch.inf)
    discriminant = torch.stack([x1, y1, one, xx, xy, yy], -1)
    half = bodies.length_mm / 2
    return (
        discriminant.float(),
        slope.float(),
        to_part[..., 2, :].float(),
        (shift[..., 2] + half).float(),
        half.float(),
    )


def _closest(bodies: Bodies, unproject: Tensor, grid: Tensor) -> Tensor:
    """(B, P) int32: inverse depth as float bits whose low bits are the part's number; 0: none."""
    discriminant, slope, axis, middle, half = _quadratics(bodies, unproject)
    x, y, _ = grid
    pixels, parts = grid.shape[1], discriminant.shape[1]
    roots = discriminant.flatten(0, 1) @ torch.cat([grid, torch.stack([x * x, x * y, y * y])])
    roots = roots.flatten()
    # A part covers few pixels: everything after the discriminant is done for those alone.
    met = (roots > 0).nonzero()[:, 0]
    row = met.div(pixels, rounding_mode="floor")
    pixel = met - row * pixels
    lines = torch.cat([slope, axis, middle[..., None], half[..., None]], -1).flatten(0, 1)
    lines = lines.index_select(0, row).T
    x, y = x.index_select(0, pixel), y.index_select(0, pixel)
    inverse = roots.index_select(0, met).sqrt_() + (lines[0] * x + lines[1] * y + lines[2])
    along = lines[3] * x + lines[4] * y + lines[5] - lines[6] * inverse
    inside = (along.abs() <= lines[7] * inverse) & (inverse > 0)
    image = row.div(parts, rounding_mode="floor")
    number = (row - image * parts).int()
    packed = (inverse.view(torch.int32) & ~_ID_BITS) | number
    packed = torch.where(inside, packed, 0)
    closest = torch.zeros(len(slope) * pixels, dtype=torch.int32, device=grid.device)
    closest.scatter_reduce_(0, image * pixels + pixel, packed, "amax")
    return closest.view(-1, pixels)


def _unpack(packed: Tensor) -> tuple[Tensor, Tensor]:
    """Part numbers (-1 none) and inverse depths (0 none)."""
    inverse = (packed & ~_ID_BITS).view(torch.float32)
    return torch.where(inverse > 0, packed & _ID_BITS, -1).long(), inverse


def trace(
    joints_mm: Float[Tensor, "batch 17 3"],
    intrinsics: Float[Tensor, "batch 3 3"],
    appearance: Appearance,
    size: int,
) -> Trace:
    """Closest part and its depth at each pixel of a size x size crop."""
    grid = _grid(size, joints_mm.device)
    results = []
    for rows in _chunks(len(joints_mm), size, joints_mm.device):
        bodies = body.build(joints_mm[rows], appearance.take(rows))
        results.append(_closest(bodies, _unproject(intrinsics[rows], size), grid))
    part, inverse = _unpack(torch.cat(results).unflatten(1, (size, size)))
    return Trace(part, 1 / inverse)


def _chunks(count: int, size: int, device: torch.device) -> list[Tensor]:
    images = max(1, _CHUNK_PIXELS[device.type] // (size * size))
    return list(torch.arange(count, device=device).split(images))


class _Hits(NamedTuple):
    """The N pixels that see a person: where on the body, and facing where."""

    image: Tensor  # (N,) int64
    part: Tensor  # (N,) int64
    local: Tensor  # (N, 3) mm, in the part's coordinates
    printed: Tensor  # (N, 3) mm, in the coordinates of the part that the cloth follows
    unit: Tensor  # (N, 3) in the part's coordinates, by its middle radii, about -1 to 1
    normal: Tensor  # (N, 3) camera frame
    view: Tensor  # (N, 3) ray, z = 1


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """(N,) products of rows of three; faster than a sum over so short a dimension."""
    return a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1] + a[:, 2] * b[:, 2]


def _locate(bodies: Bodies, part: Tensor, inverse: Tensor, rays: Tensor) -> tuple[_Hits, Tensor]:
    """Geometry of the hits, and the flat indices (B * P) of their pixels."""
    pixels, parts = part.shape[1], bodies.length_mm.shape[1]
    where = (part.flatten() >= 0).nonzero()[:, 0]
    image = where.div(pixels, rounding_mode="floor")
    kind = part.flatten().index_select(0, where)
    frame = torch.cat([bodies.axes.flatten(2), bodies.origin_mm], -1)
    sizes = torch.cat([bodies.profile, bodies.length_mm[..., None]], -1)
    table = torch.cat([frame, frame[:, bodies.print_part], sizes], -1).float().flatten(0, 1)
    row = table.index_select(0, image * parts + kind)
    view = rays.transpose(1, 2).reshape(-1, 3).index_select(0, where)
    point = view / inverse.flatten().index_select(0, where)[:, None]

    def local(frame: Tensor) -> Tensor:
        offset = point - frame[:, 9:]
        return torch.stack([_dot(frame[:, i : i + 3], offset) for i in (0, 3, 6)], 1)

    q, printed = local(row[:, :12]), local(row[:, 12:24])
    profile, length = row[:, 24:27], row[:, 27]
    depth = bodies.depth.float()[kind]
    gradient = torch.stack(
        [q[:, 0], q[:, 1] / depth**2, -profile[:, 1] / 2 - profile[:, 2] * q[:, 2]], 1
    )
    normal = torch.stack([_dot(row[:, i:9:3], gradient) for i in range(3)], 1)
    normal = normal / _dot(normal, normal).clamp_min(1e-12).sqrt()[:, None]
    middle = profile[:, 0] + profile[:, 1] * length / 2 + profile[:, 2] * length**2 / 4
    radius = middle.clamp_min(1).sqrt()
    unit = torch.stack([q[:, 0] / radius, q[:, 1] / (radius * depth), 2 * q[:, 2] / length - 1], 1)
    return _Hits(image, kind, q, printed, unit, normal, view), where


def _material(hits: _Hits, bodies: Bodies, appearance: Appearance) -> Tensor:
    """(N,) index into MATERIALS."""
    wear = bodies.wear[hits.part]
    ends = bodies.along[hits.part]
    along = torch.lerp(ends[:, 0], ends[:, 1], (hits.unit[:, 2] + 1) / 2)
    sleeve, trouser, hem = appearance.cut[hits.image].unbind(1)
    torso, arm, leg, foot, _, head, scalp = range(len(body.WEAR))
    _, hair, shirt, _, trousers, _, shoes = range(len(body.MATERIALS))
    material = torch.zeros_like(wear)
    material = torch.where((wear == torso), torch.where(along > hem, shirt, trousers), material)
    material = torch.where((wear == arm) & (along < sleeve), shirt, material)
    material = torch.where((wear == leg) & (along < trouser), trousers, material)
    material = torch.where(wear == foot, shoes, material)
    material = torch.where(wear == scalp, hair, material)
    side, front, up = hits.unit.unbind(1)
    beard = (appearance.beard[hits.image] > 0) & (up < -0.35) & (front > -0.1)
    eyes = ((side.abs() - 0.36) / 0.17) ** 2 + ((up - 0.05) / 0.1) ** 2 < 1
    brows = ((side.abs() - 0.36) / 0.24) ** 2 + ((up - 0.26) / 0.06) ** 2 < 1
    face = (front > 0) & (eyes | brows)
    return torch.where((wear == head) & (beard | face), hair, material)


def _print(hits: _Hits, material: Tensor, appearance: Appearance) -> Tensor:
    """(N,) bool: pixels of the shirt in its second colour."""
    turn = (2 * torch.pi / appearance.period_mm)[hits.image]
    across, along = hits.printed[:, 0], hits.printed[:, 2]
    u, v = torch.sin(across * turn), torch.sin(along * turn)
    choices = torch.stack(
        [
            torch.zeros_like(u, dtype=torch.bool),
            v > 0.2,
            u > 0.3,
            u * v > 0,
            u * v > 0.45,
            along > 120,
        ]
    )
    chosen = choices.gather(0, appearance.pattern[hits.image][None])[0]
    return chosen & (material == body.MATERIALS.index("shirt"))


def _shade(hits: _Hits, scene: Scene, closeness: Tensor) -> Tensor:
    """(N, 3) light on each hit: ambient and direct light, both dimmed by occlusion."""
    light, up = scene.light[hits.image], scene.up[hits.image]
    direct = _dot(hits.normal, light).clamp_min(0)
    sky = 0.8 + 0.2 * _dot(hits.normal, up)
    facing = -_dot(hits.normal, hits.view) / _dot(hits.view, hits.view).sqrt()
    ambient = sky * (0.7 + 0.3 * facing.clamp(0, 1)) * closeness
    shade = ambient[:, None] * scene.ambient[hits.image]
    return shade + (direct * closeness)[:, None] * scene.light_colour[hits.image]


def _creases(hits: _Hits, material: Tensor) -> Tensor:
    """(N,) factor about 1: folds of cloth, strands of hair."""
    x, y, z = (0.03 * hits.local).unbind(1)
    folds = torch.sin(1.3 * z + 1.7 * torch.sin(0.9 * x + 0.6 * y)) * torch.sin(1.1 * y - 0.7 * z)
    return 1 + torch.where(material == 0, 0.02, 0.09) * folds


def _occlusion(inverse: Tensor, where: Tensor, size: int) -> Tensor:
    """(N,) factor up to 1 that darkens what lies just behind a nearer part."""
    depths = inverse.flatten().reciprocal()  # infinite where nobody is
    reach = max(1, round(size / 40))
    gaps = torch.zeros_like(where, dtype=depths.dtype)
    column, row = where % size, where.div(size, rounding_mode="floor") % size
    corner = where - column - size * row
    for x, y in ((1, 0), (0, 1), (-1, 0), (0, -1), (2, 2), (-2, 2), (2, -2), (-2, -2)):
        there = (column + reach * x).clamp_(0, size - 1)
        there += corner + size * (row + reach * y).clamp_(0, size - 1)
        gap = depths[where] - depths[there]
        gaps += ((gap - 15) / 150).clamp_(0, 1) * (gap < 600)
    return 1 - 0.07 * gaps


def _blur(image: Tensor, weight: Tensor) -> Tensor:
    """Three-tap blur in both directions, a weight of its own for each image."""
    side = weight[:, None, None, None]
    for dim in (2, 3):
        last = image.shape[dim] - 1
        result = image * (1 - 2 * side)
        result.narrow(dim, 1, last).addcmul_(image.narrow(dim, 0, last), side)
        result.narrow(dim, 0, last).addcmul_(image.narrow(dim, 1, last), side)
        for edge in (0, last):
            result.narrow(dim, edge, 1).addcmul_(image.narrow(dim, edge, 1), side)
        image = result
    return image


def _picture(
    joints: Tensor, unproject: Tensor, appearance: Appearance, scene: Scene, size: int
) -> Tensor:
    """(B, 3, size, size) noiseless images, 0 to 1."""
    grid = _grid(size, joints.device)
    rays = unproject.float() @ grid
    bodies = body.build(joints, appearance)
    part, inverse = _unpack(_closest(bodies, unproject, grid))
    hits, where = _locate(bodies, part, inverse, rays)
    material = _material(hits, bodies, appearance)
    colour = appearance.palette[hits.image, material + _print(hits, material, appearance).long()]
    colour = colour * _creases(hits, material)[:, None]
    colour = colour * _shade(hits, scene, _occlusion(inverse, where, size))
    image = background(scene, rays, joints, size)
    image[hits.image, :, where % (size * size)] = colour
    return _blur(image.unflatten(2, (size, size)), scene.blur)


def render(
    joints_mm: Float[Tensor, "batch 17 3"],
    intrinsics: Float[Tensor, "batch 3 3"],
    appearance: Appearance,
    scene: Scene,
    size: int,
    generator: Generator,
) -> UInt8[Tensor, "batch 3 size size"]:
    """Render one image for each pose.

    Args:
        joints_mm: joints of `H36M17`, camera frame (x right, y down, z away).
        intrinsics: pinhole matrices of the crop, in its pixels; pixel centres at 0.5.
        appearance, scene: one for each pose.
        size: width and height of the crop, pixels.
        generator: source of the sensor noise.

    Raises:
        InputError: shapes that do not belong together, or joints that are not finite.
    """
    _check(joints_mm, intrinsics, appearance, scene, size)
    images = []
    for rows in _chunks(len(joints_mm), size, joints_mm.device):
        unproject = _unproject(intrinsics[rows], size)
        chosen = scene.take(rows)
        image = _picture(joints_mm[rows], unproject, appearance.take(rows), chosen, size)
        noise = torch.randn(image.shape, generator=generator, device=image.device)
        image.addcmul_(noise, chosen.noise[:, None, None, None])
        images.append(image.mul_(255).add_(0.5).clamp_(0, 255).to(torch.uint8))
    return torch.cat(images)


def _check(
    joints_mm: Tensor, intrinsics: Tensor, appearance: Appearance, scene: Scene, size: int
) -> None:
    count = len(joints_mm)
    if joints_mm.shape != (count, 17, 3) or count == 0:
        raise InputError(f"joints_mm: found shape {tuple(joints_mm.shape)}, expected (B, 17, 3)")
    if intrinsics.shape != (count, 3, 3):
        raise InputError(
            f"intrinsics: found shape {tuple(intrinsics.shape)}, expected ({count}, 3, 3)"
        )
    for name, found in (("appearance", len(appearance.shape)), ("scene", len(scene.up))):
        if found != count:
            raise InputError(f"{name}: found {found} entries, expected {count}, one a pose")
    if not (joints_mm.isfinite().all() and intrinsics.isfinite().all()):
        raise InputError("joints_mm, intrinsics: expected finite values, found NaN or infinity")
    if size < 1:
        raise InputError(f"size: found {size}, expected at least 1 pixel")
