"""Backgrounds, light and sensor of rendered images.

A scene is a ground plane under the person's feet, a wall or the sky behind, and upright boards
(furniture, posters, houses, trees) between the two, all in true perspective.
"""

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Generator, Tensor

from ordlib.errors import InputError

KINDS = ("studio", "green_screen", "indoor", "outdoor")
_BOARDS = 12  # in each scene, the nearest last


@dataclass(frozen=True)
class Scene:
    """What surrounds B people, and how the camera records it.

    Attributes:
        up: unit vector against gravity, in the camera frame.
        light: unit vector towards the light, in the camera frame.
        light_colour, ambient: RGB of the directional and of the ambient light.
        palette: RGB of ground (two tones), wall or sky (bottom, top), then boards (two tones).
        wall_mm: distance from the person to the wall or backdrop.
        tile_mm: period of the ground's pattern.
        boards: distance behind the person, sideways position, height of the centre above ground,
            half width, half height, periods of the pattern sideways and upwards, all in mm; and 1
            for leafy ellipses, 0 for rectangles. The farthest first.
        grain: coarse random field that mottles the surroundings.
        mottle: strength of the grain.
        noise: standard deviation of the sensor noise, of a range of 0 to 1.
        blur: weight of each neighbour in the three-tap optical blur, 0 to 1/3.
    """

    up: Float[Tensor, "batch 3"]
    light: Float[Tensor, "batch 3"]
    light_colour: Float[Tensor, "batch 3"]
    ambient: Float[Tensor, "batch 3"]
    palette: Float[Tensor, "batch tones 3"]
    wall_mm: Float[Tensor, " batch"]
    tile_mm: Float[Tensor, " batch"]
    boards: Float[Tensor, "batch boards 8"]
    grain: Float[Tensor, "batch 1 cells cells"]
    mottle: Float[Tensor, " batch"]
    noise: Float[Tensor, " batch"]
    blur: Float[Tensor, " batch"]

    def take(self, indices: Int64[Tensor, " chosen"]) -> "Scene":
        """The scenes at `indices`, with repetition if indices repeat."""
        return Scene(**{f.name: getattr(self, f.name)[indices] for f in fields(self)})

    def to(self, device: str | torch.device) -> "Scene":
        """The same scenes with every tensor on `device`."""
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self)})


class _Draw:
    """Uniform draws from one generator for `count` scenes."""

    def __init__(self, count: int, generator: Generator) -> None:
        self.count, self.generator = count, generator

    def __call__(self, low: int | float, high: int | float, *shape: int) -> Tensor:
        device = self.generator.device
        draws = torch.rand((self.count, *shape), generator=self.generator, device=device)
        return low + (high - low) * draws

    def tint(self, low: int | float, high: int | float, rows: int, strength: float) -> Tensor:
        """(count, rows, 3) colours of random brightness, tinted by up to `strength`."""
        return (self(low, high, rows, 1) * (1 + self(-strength, strength, rows, 3))).clamp(0, 1)


def _rgb(draw: _Draw, red: float, green: float, blue: float, spread: float = 0.15) -> Tensor:
    """(count, 1, 3) variations of one colour."""
    base = torch.tensor([red, green, blue], device=draw.generator.device)
    return (base * (1 + draw(-spread, spread, 1, 1)) + draw(-0.04, 0.04, 1, 3)).clamp(0, 1)


def _boards(
    draw: _Draw, spots: list[Tensor], low: int | float, high: int | float, round: bool
) -> Tensor:
    """(count, n, 8) boards of one sort: the first five columns given, periods drawn."""
    n = spots[0].shape[1]
    shape = torch.full_like(spots[0], float(round))
    return torch.stack([*spots, draw(low, high, n), draw(low, high, n), shape], -1)


def _indoor_boards(draw: _Draw, wall: Tensor) -> Tensor:
    """Posters on the wall, then furniture on the floor, a ball or plant among it."""
    width, height, on_wall = draw(150, 600, 4), draw(150, 500, 4), wall[:, None].expand(-1, 4) - 10
    spots = [on_wall, draw(-2500, 2500, 4), draw(1000, 2300, 4), width, height]
    posters = _boards(draw, spots, 200, 900, False)
    behind = draw(0.15, 0.95, 8).sort(1, descending=True).values * wall[:, None]
    width, height = draw(120, 600, 6), draw(150, 800, 6)
    spots = [behind[:, :6], draw(-2200, 2200, 6), height, width, height]
    furniture = _boards(draw, spots, 150, 900, False)
    size = draw(100, 350, 2)
    height = torch.where(draw(0, 1, 2) < 0.5, size, size + 500)
    plants = _boards(draw, [behind[:, 6:], draw(-2000, 2000, 2), height, size, size], 80, 300, True)
    return torch.cat([posters, furniture, plants], 1)


def _outdoor_boards(draw: _Draw) -> Tensor:
    """Houses, trunks and crowns of trees, bushes."""
    height, behind = draw(1500, 6000, 3), draw(9000, 30000, 3).sort(1, descending=True).values
    spots = [behind, draw(-9000, 9000, 3), height, draw(1200, 4000, 3), height]
    houses = _boards(draw, spots, 1200, 2500, False)
    behind = draw(1500, 9000, 3).sort(1, descending=True).values
    side, trunk = draw(-3000, 3000, 3), draw(500, 1300, 3)
    trunks = _boards(draw, [behind, side, trunk, draw(60, 180, 3), trunk], 60, 90, False)
    crown = draw(700, 1500, 3)
    spots = [behind, side + draw(-200, 200, 3), 2 * trunk + 0.6 * crown, crown, crown]
    crowns = _boards(draw, spots, 150, 400, True)
    size = draw(150, 700, 3)
    spots = [draw(700, 6000, 3), draw(-2500, 2500, 3), 0.7 * size, 1.3 * size, size]
    return torch.cat([houses, trunks, crowns, _boards(draw, spots, 80, 250, True)], 1)


def _light(draw: _Draw, up: Tensor, direct: float, warmth: float) -> dict[str, Tensor]:
    """A light from above and the camera's side, and the ambient light that goes with it."""
    aside = torch.cat([draw(-1.2, 1.2, 1), draw(-0.2, 0.2, 1), draw(-1.0, 0.1, 1)], 1)
    strength = direct * draw(0.8, 1.2, 1)
    tint = 1 + warmth * draw(-1, 1, 1) * torch.tensor([1.0, 0.1, -1.0], device=up.device)
    return {
        "light": F.normalize(up * draw(0.6, 1.2, 1) + aside, dim=1),
        "light_colour": strength * tint,
        "ambient": (1.05 - 0.75 * strength) * (2 - tint).clamp(0.7, 1.3),
    }


def sample_scene(count: int, kind: str, generator: Generator) -> Scene:
    """Draw `count` scenes of one kind.

    Args:
        count: how many. A fixed studio camera is one scene, taken again for each of its images.
        kind: one of `KINDS`.
        generator: source of every draw; its device is the device of the result.

    Raises:
        InputError: `kind` is not one of `KINDS`.
    """
    if kind not in KINDS:
        raise InputError(f"kind: found {kind!r}, expected one of {', '.join(KINDS)}")
    draw = _Draw(count, generator)
    pitch = draw(0.0, 0.2, 1)
    up = F.normalize(torch.cat([draw(-0.03, 0.03, 1), -pitch.cos(), -pitch.sin()], 1), dim=1)
    wall = draw(1500, 3500)
    boards = torch.zeros(count, _BOARDS, 8, device=generator.device)
    tones = draw.tint(0.15, 0.9, 2 * _BOARDS, 0.3)
    tones[:, 1::2] = tones[:, ::2] * draw(0.55, 0.95, _BOARDS, 1)
    if kind == "studio":
        ground, backdrop = draw.tint(0.3, 0.5, 1, 0.12), draw.tint(0.55, 0.8, 1, 0.08)
        ground = torch.cat([ground, 0.93 * ground], 1)
        backdrop = torch.cat([backdrop, 0.88 * backdrop], 1)
        direct, warmth, mottle = 0.65, 0.06, draw(0.01, 0.03)
    elif kind == "green_screen":
        screen = _rgb(draw, 0.11, 0.64, 0.22)
        ground, backdrop = 0.9 * screen.repeat(1, 2, 1), screen.repeat(1, 2, 1)
        direct, warmth, mottle = 0.55, 0.04, draw(0.0, 0.02)
    elif kind == "indoor":
        ground, backdrop = draw.tint(0.2, 0.7, 1, 0.2), draw.tint(0.45, 0.9, 1, 0.15)
        ground = torch.cat([ground, ground * draw(0.6, 0.95, 1, 1)], 1)
        backdrop = torch.cat([backdrop, 0.85 * backdrop], 1)
        boards = _indoor_boards(draw, wall)
        direct, warmth, mottle = 0.6, 0.12, draw(0.02, 0.08)
    else:
        ground, backdrop = _open_air(draw)
        wall = torch.full_like(wall, 60000.0)
        # Trunks are boards 3 to 5; crowns and bushes follow.
        tones[:, 6:12] = _rgb(draw, 0.3, 0.22, 0.15, 0.3) * draw(0.8, 1, 6, 1)
        tones[:, 12:] = _rgb(draw, 0.22, 0.4, 0.14, 0.3) * draw(0.5, 1.1, 12, 1)
        boards = _outdoor_boards(draw)
        direct, warmth, mottle = 0.75, 0.1, draw(0.08, 0.16)
    return Scene(
        up=up,
        **_light(draw, up, direct, warmth),
        palette=torch.cat([ground, backdrop, tones], 1),
        wall_mm=wall,
        tile_mm=draw(250, 900),
        boards=boards,
        grain=draw(-1, 1, 1, 32, 32),
        mottle=mottle,
        noise=draw(0.005, 0.02),
        blur=draw(0.08, 0.2),
    )


def _open_air(draw: _Draw) -> tuple[Tensor, Tensor]:
    """Two tones of grass or paving, and a blue or grey sky."""
    grass, paved = _rgb(draw, 0.34, 0.46, 0.2, 0.3), draw.tint(0.3, 0.65, 1, 0.1)
    ground = torch.where(draw(0, 1, 1, 1) < 0.6, grass, paved) * draw(0.88, 1.0, 2, 1)
    sky = torch.cat([_rgb(draw, 0.85, 0.88, 0.92), _rgb(draw, 0.4, 0.6, 0.88, 0.25)], 1)
    grey = draw(0, 1, 1, 1) < 0.3
    return ground, torch.where(grey, sky.mean(-1, keepdim=True), sky)


class _View(NamedTuple):
    """Rays and the person's place in axes that follow the ground, for B images of P pixels."""

    across: Tensor  # (B, P) components of the rays
    upwards: Tensor
    ahead: Tensor
    axes: Tensor  # (B, 3, 3), rows: right, up, ahead, in the camera frame
    root: Tensor  # (B, 3) the person: right of the camera, above the ground, ahead; mm
    eye: Tensor  # (B,) height of the camera above the ground, mm


def _survey(scene: Scene, rays: Tensor, joints: Tensor) -> _View:
    forward = joints.new_tensor([0.0, 0.0, 1.0])
    ahead = F.normalize(forward - scene.up[:, 2:] * scene.up, dim=1)
    axes = torch.stack([torch.linalg.cross(ahead, scene.up), scene.up, ahead], 1)
    across, upwards, distance = torch.bmm(axes, rays).unbind(1)
    place = joints @ axes.transpose(1, 2)
    eye = 75 - place[..., 1].amin(1)  # the sole lies below the ankle
    return _View(across, upwards, distance.clamp_min(0.05), axes, place[:, 0], eye.clamp_min(100))


def _cover(scene: Scene, view: _View, grain: Tensor) -> tuple[Tensor, Tensor]:
    """(B, P) nearest board (-1 none) and blend of its two tones."""
    board = torch.full_like(view.across, -1.0)
    x, y = torch.zeros_like(board), torch.zeros_like(board)
    if not scene.boards.any():
        return board, x
    sideways, upwards = view.across / view.ahead, view.upwards / view.ahead
    distance = view.root[:, 2:] + scene.boards[..., 0]
    shift = -view.root[:, :1] - scene.boards[..., 1]
    height = view.eye[:, None] - scene.boards[..., 2]
    size = scene.boards[..., 3:5].clamp_min(1e-3)
    slope = distance[..., None] / size
    offset = torch.stack([shift, height], -1) / size
    leaves = 0.7 * grain
    # Most chunks hold one kind of scene, so a board is mostly of one shape throughout.
    ovals = scene.boards[..., 7:] > 0
    some, every = ovals.any(0)[:, 0].tolist(), ovals.all(0)[:, 0].tolist()
    for i in range(scene.boards.shape[1]):
        u = torch.addcmul(offset[:, i, :1], sideways, slope[:, i, :1])
        v = torch.addcmul(offset[:, i, 1:], upwards, slope[:, i, 1:])
        if some[i]:
            edge = torch.addcmul(leaves, u, u).addcmul_(v, v)
        if not every[i]:
            box = torch.maximum(u.abs(), v.abs())
            edge = torch.where(ovals[:, i], edge, box) if some[i] else box
        inside = edge < 1
        board = torch.where(inside, float(i), board)
        x, y = torch.where(inside, u, x), torch.where(inside, v, y)
    ratio = 2 * torch.pi * scene.boards[..., 3:5] / scene.boards[..., 5:7].clamp_min(1)
    turns = ratio.transpose(1, 2).gather(2, board.long().clamp_min(0)[:, None].expand(-1, 2, -1))
    pattern = torch.sin(x * turns[:, 0]) * torch.sin(y * turns[:, 1])
    return board, (pattern > 0.25) * 0.7 - 0.25 * y


def background(
    scene: Scene,
    rays: Float[Tensor, "batch 3 pixels"],
    joints_mm: Float[Tensor, "batch 17 3"],
    size: int,
) -> Float[Tensor, "batch 3 pixels"]:
    """RGB of what is behind the person along each ray (z = 1), pixels row by row."""
    view = _survey(scene, rays, joints_mm)
    grain = F.interpolate(scene.grain, (size, size), mode="bilinear").flatten(1)
    ground = view.upwards / -view.eye[:, None]
    wall = view.ahead / (view.root[:, 2] + scene.wall_mm)[:, None]
    floor = ground > wall
    distance = torch.maximum(ground, wall).clamp_min(1e-7).reciprocal()
    x = torch.addcmul(-view.root[:, :1], view.across, distance)
    z = torch.addcmul(-view.root[:, 2:], view.ahead, distance)
    turn = (torch.pi / scene.tile_mm)[:, None]
    tiles = torch.sin(x * turn) * torch.sin(z * turn) > 0
    height = view.upwards * distance / (2500 + 0.2 * scene.wall_mm)[:, None]
    board, blend = _cover(scene, view, grain)
    covered = board >= 0
    blend = torch.where(covered, blend, torch.where(floor, tiles.float(), height.clamp(0, 1)))
    tone = torch.where(covered, 4 + 2 * board, torch.where(floor, 0.0, 2.0)).long()
    index = tone[:, None].expand(-1, 3, -1)
    table = scene.palette.transpose(1, 2)
    colour = torch.lerp(table.gather(2, index), table.gather(2, index + 1), blend[:, None])
    mottle = torch.where(covered | floor, scene.mottle[:, None], 0.3 * scene.mottle[:, None])
    light = torch.where(floor & ~covered, _shadow(scene, view, joints_mm, x, z), 1.0)
    return colour * torch.addcmul(light, mottle, grain)[:, None]


def _shadow(scene: Scene, view: _View, joints: Tensor, x: Tensor, z: Tensor) -> Tensor:
    """(B, P) soft shadows of pelvis, ankles and thorax on the ground at (x, z), 1 where none."""
    place = joints[:, [0, 3, 6, 8]] @ view.axes.transpose(1, 2)
    height = place[..., 1] + view.eye[:, None]
    light = (view.axes @ scene.light[..., None])[..., 0]
    slope = light[:, [0, 2]] / light[:, 1:2].clamp_min(0.3)
    spot = (place - view.root[:, None])[..., [0, 2]] - height[..., None] * slope[:, None]
    spread = (130 + 0.15 * height.clamp_min(0)).pow(-2)
    shade = torch.ones_like(x)
    for i in range(place.shape[1]):
        square = (x - spot[:, i, :1]).square_() + (z - spot[:, i, 1:]).square_()
        shade *= 1 - 0.45 / (1 + square * spread[:, i, None]).square_()
    return shade
