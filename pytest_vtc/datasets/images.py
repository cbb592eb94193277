"""Image files on disk, opened when they are needed and decoded to RGB in one documented way."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from pytest_vtc.datasets.base import DatasetError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".avif"})
"""File name endings by which images are recognised in a folder."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image by path, as an `ImageSource`.

    What `open` makes of formats beyond plain RGB: the orientation of EXIF is applied; transparency is laid on white;
    CMYK is converted as Pillow does, without colour profiles; an animation gives its first frame; grayscale of more
    than 8 bits is scaled to 8, never clipped.
    """

    path: Path

    def open(self) -> Image.Image:
        """Decode to RGB. Raises DatasetError, naming the path, for whatever cannot be read as an image."""
        try:
            if self.path.stat().st_size == 0:
                raise DatasetError(f"{self.path}: the image is empty (0 bytes)")
            with Image.open(self.path) as image:
                image.load()
                return _to_rgb(ImageOps.exif_transpose(image))
        except DatasetError:
            raise
        except FileNotFoundError as error:
            raise DatasetError(f"{self.path}: no such image") from error
        except UnidentifiedImageError as error:
            raise DatasetError(f"{self.path}: not an image that Pillow can read") from error
        except Image.DecompressionBombError as error:
            raise DatasetError(f"{self.path}: too large an image ({error}); scale it down first") from error
        except Exception as error:
            # A damaged file can make a decoder raise nearly anything; none of it names the file.
            raise DatasetError(
                f"{self.path}: cannot decode the image, is it truncated or damaged ({type(error).__name__}: {error})"
            ) from error

    def fingerprint(self) -> str:
        """SHA-256 of the file's bytes; read again only if its size or its time of change differ."""
        try:
            stat = self.path.stat()
            return _sha256(self.path, stat.st_size, stat.st_mtime_ns)
        except FileNotFoundError as error:
            raise DatasetError(f"{self.path}: no such image") from error
        except OSError as error:
            raise DatasetError(f"{self.path}: cannot read the image ({error.strerror})") from error

    def __str__(self) -> str:
        return str(self.path)


@functools.lru_cache(maxsize=65_536)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001  # the last two are part of the cache's key
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grayscale_to_rgb(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _deep_grayscale_to_rgb(image: Image.Image) -> Image.Image:
    """16-bit pixels by their full scale; 32-bit ones by the smallest usual scale that holds them (1, 255, 65535).

    Values that fit no usual scale are stretched between their least and their greatest.
    """
    import numpy as np  # only here: most images never come this way

    pixels = np.nan_to_num(np.asarray(image, np.float64), posinf=0.0, neginf=0.0)
    low, high = float(pixels.min()), float(pixels.max())
    if image.mode.startswith("I;16"):
        low, high = 0.0, 65535.0
    elif low >= 0 and high <= 65535:
        scales = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        low, high = 0.0, next(scale for scale in scales if high <= scale)
    scaled = (pixels - low) * (255.0 / (high - low) if high > low else 0.0)
    return Image.fromarray(np.round(scaled).astype(np.uint8)).convert("RGB")
