"""Image files: every common kind is decoded to RGB, every bad one is an error that names it."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.images import ImageFile


def saved(path: Path, image: Image.Image, **options: object) -> ImageFile:
    image.save(path, **options)
    return ImageFile(path)


def pixel(image: Image.Image, x: int = 0, y: int = 0) -> tuple[int, ...]:
    value = image.getpixel((x, y))
    assert isinstance(value, tuple)
    return value


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    rgba = Image.new("RGBA", (4, 3), (255, 0, 0, 0))
    rgba.putpixel((1, 0), (0, 0, 255, 255))
    rgba.putpixel((2, 0), (0, 0, 0, 128))
    image = saved(tmp_path / "a.png", rgba).open()
    assert image.mode == "RGB"
    assert [pixel(image, x) for x in range(3)] == [(255, 255, 255), (0, 0, 255), (127, 127, 127)]


def test_transparent_palette_entry_becomes_white(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 0])
    palette.putpixel((1, 0), 1)
    image = saved(tmp_path / "p.png", palette, transparency=0).open()
    assert [pixel(image, x) for x in range(2)] == [(255, 255, 255), (200, 100, 0)]


def test_gray_with_alpha_is_laid_on_white(tmp_path: Path) -> None:
    image = saved(tmp_path / "la.png", Image.new("LA", (2, 2), (0, 0))).open()
    assert pixel(image) == (255, 255, 255)


def test_cmyk_is_converted(tmp_path: Path) -> None:
    image = saved(tmp_path / "c.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=95).open()
    red, green, blue = pixel(image)
    assert image.mode == "RGB"
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_deep_grayscale_is_scaled_and_not_clipped(tmp_path: Path, mode: str) -> None:
    values = np.array([[0, 257, 32768, 65535]], np.uint16 if mode == "I;16" else np.int32)
    image = saved(tmp_path / "deep.tif", Image.fromarray(values)).open()
    assert [pixel(image, x)[0] for x in range(4)] == [0, 1, 128, 255]


def test_16_bit_png_is_scaled_by_its_full_range(tmp_path: Path) -> None:
    image = saved(tmp_path / "deep.png", Image.fromarray(np.full((2, 2), 4112, np.uint16))).open()
    assert pixel(image) == (16, 16, 16)


def test_32_bit_values_of_8_bit_size_are_kept(tmp_path: Path) -> None:
    image = saved(tmp_path / "i.tif", Image.fromarray(np.array([[3, 200]], np.int32))).open()
    assert [pixel(image, x)[0] for x in range(2)] == [3, 200]


def test_values_of_no_usual_scale_are_stretched(tmp_path: Path) -> None:
    values = np.array([[-100_000, 0, 100_000]], np.int32)
    image = saved(tmp_path / "i.tif", Image.fromarray(values)).open()
    assert [pixel(image, x)[0] for x in range(3)] == [0, 128, 255]


def test_floating_point_image_from_0_to_1_fills_the_range(tmp_path: Path) -> None:
    values = np.array([[0.0, 0.5, 1.0, np.nan]], np.float32)
    image = saved(tmp_path / "f.tif", Image.fromarray(values)).open()
    assert [pixel(image, x)[0] for x in range(4)] == [0, 128, 255, 0]


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_animation_gives_its_first_frame(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if suffix == "webp" else {}
    image = saved(tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:], **options).open()
    assert pixel(image) == (255, 0, 0)


@pytest.mark.parametrize("size", [(1, 1), (5000, 20), (20, 5000), (1, 3000)])
def test_tiny_and_thin_images_are_opened_in_their_size(tmp_path: Path, size: tuple[int, int]) -> None:
    assert saved(tmp_path / "thin.png", Image.new("RGB", size)).open().size == size


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    upright = Image.new("RGB", (20, 10), "white")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert saved(tmp_path / "turned.jpg", upright, exif=exif).open().size == (10, 20)


@pytest.mark.parametrize(("mode", "name"), [("1", "m.png"), ("L", "m.png"), ("YCbCr", "m.jpg")])
def test_other_modes_become_rgb(tmp_path: Path, mode: str, name: str) -> None:
    image = saved(tmp_path / name, Image.new("RGB", (4, 4), "white").convert(mode)).open()
    assert (image.mode, pixel(image)) == ("RGB", (255, 255, 255))


def test_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone\.png: no such image"):
        ImageFile(tmp_path / "gone.png").open()


def test_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.touch()
    with pytest.raises(DatasetError, match=r"empty\.png: the image is empty \(0 bytes\)"):
        ImageFile(path).open()


def test_file_that_is_no_image_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_text("this is text")
    with pytest.raises(DatasetError, match=r"notes\.png: not an image"):
        ImageFile(path).open()


def test_folder_in_place_of_an_image_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=str(tmp_path)):
        ImageFile(tmp_path).open()


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_truncated_image_is_an_error(tmp_path: Path, suffix: str) -> None:
    noise = np.random.RandomState(0).randint(0, 256, (64, 64, 3), np.uint8)
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DatasetError, match=rf"cut\.{suffix}: .*(truncated|not an image)"):
        ImageFile(path).open()


def test_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = saved(tmp_path / "bomb.png", Image.new("L", (100, 100)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DatasetError, match=r"bomb\.png: too large an image"):
        source.open()


def _encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(12 * 12 * 3, dtype=np.uint8).reshape(12, 12, 3)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore")  # Pillow warns of much in damaged files
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kind=st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"]), damage=st.data())
def test_damaged_image_opens_or_is_an_error_that_names_it(kind: str, damage: st.DataObject) -> None:
    content = bytearray(_encoded(kind))
    for _ in range(damage.draw(st.integers(1, 4))):
        content[damage.draw(st.integers(0, len(content) - 1))] = damage.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.img"
        path.write_bytes(content)
        try:
            outcome = ImageFile(path).open().mode
        except DatasetError as error:
            outcome = str(error)
        assert outcome == "RGB" or "damaged.img" in outcome


def test_fingerprint_follows_the_bytes_and_not_the_place(tmp_path: Path) -> None:
    first = saved(tmp_path / "a.png", Image.new("RGB", (3, 3), "red"))
    copy = tmp_path / "elsewhere.png"
    copy.write_bytes(first.path.read_bytes())
    other = saved(tmp_path / "b.png", Image.new("RGB", (3, 3), "blue"))
    assert first.fingerprint() == ImageFile(copy).fingerprint()
    assert first.fingerprint() != other.fingerprint()


def test_fingerprint_notices_that_a_file_was_changed(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.png", Image.new("RGB", (3, 3), "red"))
    before = source.fingerprint()
    source.path.write_bytes(b"x" * source.path.stat().st_size)
    os.utime(source.path, ns=(1, 1))
    assert source.fingerprint() != before


def test_fingerprint_of_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such image"):
        ImageFile(tmp_path / "gone.png").fingerprint()


def test_image_is_named_by_its_path(tmp_path: Path) -> None:
    assert str(ImageFile(tmp_path / "a.png")) == str(tmp_path / "a.png")
