"""Still images: any file that Pillow reads => uint8 RGB, and uint8 RGB => PNG.

Alpha is laid over white. 16-bit grey keeps its high bits; floating-point grey is read as [0, 1],
[0, 255] or [0, 65535], whichever its brightest pixel fits. The EXIF rotation is applied, and an
embedded ICC profile: colours come in sRGB. Of an animation the first image is read.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from mien.errors import MienError
from mien.media.atomic import replacing
from mien.media.colour import icc_to_srgb
from mien.media.frame import Frame
from mien.media.names import to_text

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "MAX_SIDE",
    "Image",
    "check_file",
    "image_size",
    "read",
    "read_image",
    "to_uint8",
    "write_image",
    "write_png",
]

MAX_SIDE = 4096
"""Images are reduced on reading so that neither side is longer, in pixels."""
MAX_PIXELS = 20_000**2
"""Larger images are refused: they are more likely made to fill the memory than to be seen."""

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Suffixes of the images that are written => their formats."""

_READ = (
    *("JPEG", "PNG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PPM", "JPEG2000", "AVIF"),
    "MPO",
)
_STRIP_PIXELS = 1 << 22
# Pillow keeps its own size limit in a module variable; it is lifted only while this is held.
_LIMIT = threading.Lock()


def read(
    source: str | Path | Image.Image | IO[bytes],
    *,
    max_side: int = MAX_SIDE,
    name: str | None = None,
) -> NDArray[np.uint8]:
    """Return the pixels of an image, as `read_image` reads them. RGB [H, W, 3].

    Raises:
        MienError: as `read_image`.
    """
    pixels = read_image(source, max_side=max_side, name=name).pixels
    assert pixels is not None
    return pixels


def read_image(
    source: str | Path | Image.Image | IO[bytes],
    *,
    max_side: int = MAX_SIDE,
    name: str | None = None,
) -> Frame:
    """Read an image; one that is longer than `max_side` is reduced by a whole factor.

    The reduction happens while decoding where the format can (JPEG), and strip by strip otherwise,
    so that 20,000 x 20,000 pixels need little more memory than the decoder itself takes.

    Args:
        source: an image file, open or not, or a Pillow image.
        max_side: the longest side to return, in pixels.
        name: what errors call it; None: its path, or "the image".

    Raises:
        MienError: if the file is missing, unreadable, empty, broken, not an image, or has more
            than `MAX_PIXELS` pixels.
    """
    shown = name or (to_text(source) if isinstance(source, (str, Path)) else "the image")
    if isinstance(source, (str, Path)):
        check_file(source)
    try:
        with contextlib.ExitStack() as stack:
            image = source
            if not isinstance(image, Image.Image):
                file = image
                if isinstance(file, (str, Path)):
                    file = stack.enter_context(Path(file).open("rb"))
                _refuse_empty(file, shown)
                image = stack.enter_context(_opened(file))
            if image.width * image.height > MAX_PIXELS:
                raise MienError(
                    f"{shown} is too large: {image.width} x {image.height} pixels; "
                    f"up to {MAX_PIXELS:,} in all are read"
                )
            return _decode(image, max_side)
    except MienError:
        raise
    except UnidentifiedImageError as error:
        raise MienError(
            f"{shown} is not an image that can be read; convert it to JPEG or PNG, or leave it out"
        ) from error
    except Exception as error:  # a decoder may raise anything when its bytes are broken
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MienError(f"{shown} cannot be read as an image: {reason}") from error


def image_size(file: IO[bytes], *, name: str = "the image") -> tuple[int, int]:
    """Return width and height as the image's head has them; nothing is decoded. Pixels.

    Args:
        file: read from where it stands, and put back there.
        name: what errors call it.

    Raises:
        MienError: it is empty, or no image that is known.
    """
    start = file.tell()
    try:
        _refuse_empty(file, name)
        with _opened(file) as image:
            return image.size
    except MienError:
        raise
    except Exception as error:  # a decoder may raise anything when its bytes are broken
        raise MienError(
            f"{name} is not an image that can be read; convert it to JPEG or PNG, or leave it out"
        ) from error
    finally:
        file.seek(start)


def check_file(path: str | Path) -> None:
    """Refuse what cannot be a media file, before a decoder sees it.

    Raises:
        MienError: if there is nothing at `path`, or a folder, a device, an empty file, or a file
            that may not be read.
    """
    shown = to_text(path)
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise MienError(f"cannot read {shown}: {reason}") from error
    if stat.S_ISDIR(status.st_mode):
        raise MienError(f"{shown} is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise MienError(f"{shown} is not an ordinary file")
    if status.st_size == 0:
        raise _empty(shown)
    if not os.access(path, os.R_OK):
        raise MienError(f"cannot read {shown}: permission denied")


def write_png(path: str | Path, image: NDArray[np.uint8], *, overwrite: bool = False) -> None:
    """Write an image as PNG, whatever its name; otherwise as `write_image`."""
    write_image(path, image, overwrite=overwrite, form="PNG")


def write_image(
    path: str | Path,
    image: NDArray[np.uint8],
    *,
    overwrite: bool = False,
    form: str | None = None,
) -> None:
    """Write an image, whole or not at all.

    Args:
        path: the file to be written.
        image: RGB [H, W, 3] or grey [H, W].
        overwrite: whether a file that is there may be replaced.
        form: a format of `FORMATS`; None: as the name's suffix says.

    Raises:
        MienError: if the file exists and may not be replaced, cannot be written, or its suffix is
            none of `FORMATS`.
    """
    form = form or FORMATS.get(Path(path).suffix.lower())
    if form is None:
        raise MienError(f"cannot write {to_text(path)}: an image is {', '.join(FORMATS)}")
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise ValueError(f"a uint8 image is wanted, not {image.dtype} {list(image.shape)}")
    with replacing(path, overwrite=overwrite) as unfinished:
        Image.fromarray(np.ascontiguousarray(image)).save(unfinished, format=form, quality=95)


def to_uint8(image: Tensor) -> NDArray[np.uint8]:
    """Return float RGB in [0, 1], [..., 3, H, W] => uint8 [..., H, W, 3]; rounded and clipped."""
    if not image.is_floating_point() or image.ndim < 3 or image.shape[-3] != 3:
        raise ValueError(f"float [..., 3, H, W] is wanted, not {image.dtype} {list(image.shape)}")
    values = np.moveaxis(image.detach().float().cpu().numpy(), -3, -1)
    if np.isnan(values).any():
        raise ValueError("the image holds NaN")
    return (values * 255).round().clip(0, 255).astype(np.uint8)


def _empty(shown: str) -> MienError:
    return MienError(f"{shown} is empty (0 bytes); copy it again or leave it out")


def _refuse_empty(file: IO[bytes], shown: str) -> None:
    start = file.tell()
    if not file.read(1):
        raise _empty(shown)
    file.seek(start)


@contextlib.contextmanager
def _opened(file: IO[bytes]) -> Iterator[Image.Image]:
    """Open without Pillow's size limit (ours is checked next), and only as a known format."""
    with _LIMIT:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            Image.init()
            known = [name for name in _READ if name in Image.OPEN]
            image = Image.open(file, formats=known)
        finally:
            Image.MAX_IMAGE_PIXELS = before
    with image:
        yield image


def _decode(image: Image.Image, max_side: int) -> Frame:
    width, height = image.size
    wanted = max(width, height) / max_side
    if wanted > 1:
        shrink = min(8, 1 << int(np.log2(wanted)))
        # Does nothing where the format cannot decode at a smaller size.
        image.draft(image.mode, (max(1, width // shrink), max(1, height // shrink)))
    drafted = -(-width // image.width)
    factor = -(-max(image.size) // max_side)
    image.load()
    if _is_plain(image, factor):  # as most files: four copies fewer
        return Frame(np.array(image), scale=drafted)
    upright = Image.fromarray(np.asarray(_reduced(image, factor)))
    with contextlib.suppress(Exception):  # broken EXIF says nothing about the pixels
        upright.getexif()[ExifTags.Base.Orientation] = image.getexif()[ExifTags.Base.Orientation]
    return Frame(np.array(ImageOps.exif_transpose(upright)), scale=drafted * factor)


def _is_plain(image: Image.Image, factor: int) -> bool:
    """Return whether an image's pixels are the result: upright RGB in sRGB, without alpha."""
    if factor != 1 or image.mode != "RGB" or image.has_transparency_data:
        return False
    if image.info.get("icc_profile") is not None:
        return False
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) == 1
    except Exception:  # noqa: BLE001 - broken EXIF is looked at again
        return False


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    """Return the image as RGB, each `factor` x `factor` pixels averaged into one."""
    white = _white(image, factor) if image.mode == "F" else 0.0
    profile = image.info.get("icc_profile")
    out = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    for top, strip in _strips(image, factor):
        rgb = _rgb(strip, white, profile)
        out.paste(rgb if factor == 1 else rgb.reduce(factor), (0, top // factor))
    return out


def _strips(image: Image.Image, factor: int) -> Iterator[tuple[int, Image.Image]]:
    """Yield the first row and the image of strips, each a multiple of `factor` rows high."""
    width, height = image.size
    rows = factor * max(1, _STRIP_PIXELS // (width * factor))
    for top in range(0, height, rows):
        yield top, image.crop((0, top, width, min(top + rows, height)))


def _rgb(image: Image.Image, white: float, profile: bytes | None) -> Image.Image:
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    if image.mode.startswith("I"):  # 16-bit grey, or 32-bit that holds 16
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        values = np.nan_to_num(np.asarray(image) * np.float32(255 / white))
        image = Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")
    image = icc_to_srgb(image, profile).convert("RGB")
    if alpha is None:
        return image
    paper = Image.new("RGB", image.size, (255, 255, 255))
    paper.paste(image, mask=alpha)
    return paper


def _white(image: Image.Image, factor: int) -> float:
    """Return the value that means white in a floating-point image."""
    strips = (np.asarray(strip) for _, strip in _strips(image, factor))
    peak = max(float(np.max(v, initial=0, where=np.isfinite(v))) for v in strips)
    return next((top for top in (1.0, 255.0) if peak <= top), 65535.0)
