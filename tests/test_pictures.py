"""Opening pictures: what browsers show, one notion of upright, and files that are refused."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from ordlib.data import crop, open_picture
from ordlib.errors import InputError

TURNED = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10  # no two pixels alike


def exif(*entries, order="<", start=8):
    """An EXIF block of (tag, type, count, four bytes of value) in its first directory."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    block = head + struct.pack(f"{order}IH", start, len(entries))
    for tag, kind, count, value in entries:
        value = value if isinstance(value, bytes) else struct.pack(f"{order}HH", value, 0)
        block += struct.pack(f"{order}HHI", tag, kind, count) + value
    return b"Exif\0\0" + block + b"\0" * 4


def jpeg(path, size=(64, 48), block=None, xmp=None, before=b""):
    """A JPEG file with bright left half, and raw blocks behind its first two bytes."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, : size[0] // 2] = 240
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    raw = file.getvalue()
    for content in (block, xmp and b"http://ns.adobe.com/xap/1.0/\0" + xmp):
        if content:
            raw = raw[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + raw[2:]
    path.write_bytes(raw)
    return path


def png(path, *chunks, pixels=TURNED):
    """A PNG file with raw chunks behind its header."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    raw = file.getvalue()
    for name, content in chunks:
        whole = struct.pack(">I", len(content)) + name + content
        raw = raw[:33] + whole + struct.pack(">I", zlib.crc32(name + content)) + raw[33:]
    path.write_bytes(raw)
    return path


# --- what is shown -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "I;16"])
def test_modes_of_png(tmp_path, mode):
    """White stays white, black stays black, and grey grey."""
    grey = np.array([[0, 120, 255]], np.uint8)
    image = Image.fromarray(grey).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    image.save(tmp_path / "image.png")
    shown = np.asarray(open_picture(tmp_path / "image.png").decode())
    assert shown.shape == (1, 3, 3) and shown.dtype == np.uint8
    middle = 255 * (120 > 127) if mode == "1" else 120
    if mode == "1":  # dithered
        middle = int(shown[0, 1, 0])
    assert shown[0, :, 0].tolist() == [0, middle, 255]


def test_16_bit_grey_is_not_white(tmp_path):
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    picture = open_picture(tmp_path / "deep.png")
    assert np.asarray(picture.decode())[..., 1].ravel().tolist() == (values.ravel() >> 8).tolist()
    assert not picture.as_is  # a copy of 8 bits is what everybody gets to see
    assert Image.open(io.BytesIO(picture.upright_bytes())).mode == "RGB"


def test_cmyk_jpeg(tmp_path):
    Image.new("RGB", (8, 8), (255, 0, 0)).convert("CMYK").save(tmp_path / "print.jpg")
    red, green, _ = open_picture(tmp_path / "print.jpg").decode().getpixel((4, 4))
    assert red > 200 and green < 60


@pytest.mark.parametrize("transparency", [b"\x00\x80", 0])
def test_a_palette_with_transparency(tmp_path, transparency):
    Image.new("P", (4, 4)).save(tmp_path / "a.png", transparency=transparency)
    assert open_picture(tmp_path / "a.png").decode().mode == "RGB"


def test_png_with_megabytes_of_text(tmp_path):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("prompt", "a person " * 400_000, zip=True)
    Image.fromarray(TURNED).save(tmp_path / "made.png", pnginfo=texts)
    assert open_picture(tmp_path / "made.png").decode().size == (6, 4)


def test_more_pixels_than_pillow_takes(tmp_path):
    Image.new("L", (12000, 9000), 200).save(tmp_path / "phone.jpg", quality=30)
    picture = open_picture(tmp_path / "phone.jpg")
    assert picture.size == (12000, 9000)
    assert picture.decode(0.0).size == (1500, 1125)
    pixels, _ = crop(picture, None, 64)
    assert pixels[:, 32].float().mean() == pytest.approx(200, abs=1)


@pytest.mark.parametrize("zoom", [0.45, 0.3, 0.25, 0.1])
def test_a_jpeg_is_decoded_smaller_but_not_too_small(tmp_path, zoom):
    picture = open_picture(jpeg(tmp_path / "a.jpg", (321, 200), exif((0x112, 3, 1, 6))))
    assert picture.size == (200, 321)
    width, height = picture.decode(zoom).size
    assert zoom * 200 <= width < 200 and zoom * 321 <= height < 321


# --- upright -------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_as_it_says(tmp_path, orientation, order):
    """The eight positions of the standard, by where the first row and column of the file are."""
    block = exif((0x112, 3, 1, orientation), order=order)
    picture = open_picture(png(tmp_path / "a.png", (b"eXIf", block.removeprefix(b"Exif\0\0"))))
    rows_first = orientation < 5  # the file's rows are rows of what is shown
    expected = TURNED if rows_first else TURNED.T
    if orientation in (3, 4, 7, 8):
        expected = expected[::-1]
    if orientation in (2, 3, 6, 7):
        expected = expected[:, ::-1]
    shown = np.asarray(picture.decode())[..., 0]
    assert shown.tolist() == expected.tolist()
    assert picture.size == shown.shape[::-1] and picture.as_is == (orientation == 1)


XMP = b"<x:xmpmeta><rdf:Description tiff:Orientation='6'/></x:xmpmeta>"


@pytest.mark.parametrize(
    ("block", "xmp"),
    [
        (None, XMP),  # Pillow turns it, browsers do not
        (exif((0x112, 3, 2, 6)), None),
        (exif((0x112, 4, 1, 6)), None),
        (exif((0x112, 2, 1, b"6\0\0\0")), None),
        (exif((0x112, 3, 1, 0)), None),
        (exif((0x112, 3, 1, 9)), None),
        (b"Exif\0\0", XMP),
        (b"Exif\0\0junk" * 3, None),
        (exif((0x112, 3, 1, 6), start=5000), None),
    ],
)
def test_what_programs_read_differently_turns_nothing(tmp_path, block, xmp):
    """Nor is the file itself served then, so that the page shows what is learned from."""
    picture = open_picture(jpeg(tmp_path / "a.jpg", block=block, xmp=xmp))
    assert picture.size == (64, 48) and not picture.as_is
    served = Image.open(io.BytesIO(picture.upright_bytes()))
    assert served.size == (64, 48) and not served.getexif() and "xmp" not in served.info


def test_the_file_itself_is_served_where_everybody_agrees(tmp_path):
    path = jpeg(tmp_path / "a.jpg", block=exif((0x10F, 2, 4, b"abc\0"), (0x112, 3, 1, 1)))
    assert open_picture(path).upright_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "odd",
    [
        (0x128, 2, 1, b"x\0\0\0"),  # ResolutionUnit as text: struct.error in Pillow
        (0x11A, 2, 4, b"abc\0"),  # XResolution as text: TypeError
        (0x131, 11, 1, b"\0\0\x80?"),  # Software as a number: AttributeError
    ],
)
def test_other_tags_do_no_harm(tmp_path, odd):
    entries = sorted([odd, (0x112, 3, 1, 6)])
    picture = open_picture(jpeg(tmp_path / "a.jpg", block=exif(*entries)))
    shown = np.asarray(picture.decode())[..., 0]
    assert picture.size == (48, 64) and (shown[:30] > 200).all() and (shown[34:] < 50).all()
    assert Image.open(io.BytesIO(picture.upright_bytes())).size == (48, 64)


def test_random_exif_never_matters(tmp_path):
    rng = random.Random(0)
    for case in range(400):
        entries = [
            (rng.choice([0x112, 0x11A, 0x128, 0x8769, 0x131, 0x8825, rng.randrange(65536)]),
             rng.randrange(14), rng.choice([0, 1, 2, 7, 2**31]), rng.randbytes(4))
            for _ in range(rng.randrange(1, 8))
        ]  # fmt: skip
        block = exif(*entries, order=rng.choice("<>")) + rng.randbytes(rng.randrange(60))
        if case % 2:
            picture = open_picture(jpeg(tmp_path / "a.jpg", (16, 16), block=block))
        else:
            picture = open_picture(png(tmp_path / "a.png", (b"eXIf", block[6:])))
        assert picture.decode().size == picture.size


def test_crops_of_turned_pictures_follow_the_upright_one(tmp_path):
    picture = open_picture(jpeg(tmp_path / "a.jpg", (64, 48), exif((0x112, 3, 1, 6))))
    pixels, box = crop(picture, (24.0, 16.0, 20.0), 10)
    assert box == (24.0, 16.0, 20.0) and pixels.min() > 200
    pixels, _ = crop(picture, (24.0, 32.0, 20.0), 10)
    assert pixels[:, :3].min() > 200 and pixels[:, 7:].max() < 50


# --- refused, in the user's words ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"<html>not found</html>", "it begins like neither"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript, which is not read"),
        (b"\xc5\xd0\xd3\xc6" + b"\0" * 40, "PostScript, which is not read"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC, .* convert it to JPEG"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC, .* convert it to JPEG"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "WebP, .* convert it to JPEG"),
        (b"GIF89a\1\0\1\0", "GIF, .* convert it to JPEG"),
        (b"II*\0\x08\0\0\0", "TIFF, .* convert it to JPEG"),
        (b"BM\x46\0\0\0", "BMP, .* convert it to JPEG"),
        (b"\xff\xd8\xff\xe0", "none that can be read to its end"),
        (b"\x89PNG\r\n\x1a\n", "none that can be read to its end"),
    ],
)
def test_other_files(tmp_path, content, reason):
    (tmp_path / "holiday.jpg").write_bytes(content)
    with pytest.raises(InputError, match=rf"holiday.jpg: expected an image, .*{reason}"):
        open_picture(tmp_path / "holiday.jpg")


@pytest.mark.parametrize(("name", "found"), [("absent.jpg", "nothing"), (".", "a folder")])
def test_no_file(tmp_path, name, found):
    with pytest.raises(InputError, match=f"expected an image, found {found}"):
        open_picture(tmp_path / name)


def test_too_many_pixels(tmp_path):
    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    raw = png(tmp_path / "bomb.png").read_bytes()
    whole = b"IHDR" + head
    (tmp_path / "bomb.png").write_bytes(
        raw[:8] + struct.pack(">I", 13) + whole + struct.pack(">I", zlib.crc32(whole)) + raw[33:]
    )
    with pytest.raises(InputError, match=r"up to 128 million pixels, found 60000 x 60000; make it"):
        open_picture(tmp_path / "bomb.png")


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_cut_off_or_damaged_files_are_refused_or_read(tmp_path, kind):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8))
    path = tmp_path / f"a.{kind}"
    image.save(path)
    whole = path.read_bytes()
    for length in rng.integers(0, len(whole) - 20, 60):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=f"a.{kind}: expected an image"):
            open_picture(path).decode()
    for _ in range(150):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            picture = open_picture(path)
            assert picture.decode().size == picture.size
        except InputError as error:
            assert "expected an image" in str(error)
