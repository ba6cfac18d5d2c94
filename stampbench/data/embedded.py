"""Two datasets that need no download: scikit-learn's digits as target, rendered characters as reference."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from stampbench import seeding
from stampbench.data.catalogue import GLYPH_CLASSES, GLYPH_TEST, GLYPH_TRAIN, Dataset
from stampbench.data.decode import split_of
from stampbench.data.task import Split
from stampbench.errors import DataError

DIGITS = "0123456789"
_DIGIT_WORDS = frozenset(
    ["ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE", "DIGIT", "NUMBER"]
)
_DIGITS_TEST_PER_CLASS = 50
_CANVAS, _POINTS = 64, 56
_STYLES = {"Sans": "Oblique", "Serif": "Italic", "SansMono": "Oblique"}


def read_digits(dataset: Dataset) -> tuple[Split, Split]:
    """Return 1,797 handwritten digits, 8×8 with values 0 to 16, resized, as three equal channels.

    The test split is 50 images per class, drawn from the stream ("embedded-split", "digits", 0).
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    size = (dataset.pack_size, dataset.pack_size)
    small = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    grey = np.stack([np.asarray(Image.fromarray(i).resize(size, Image.Resampling.BILINEAR)) for i in small])
    images = np.repeat(grey[:, None], 3, axis=1)
    order = torch.randperm(len(images), generator=seeding.generator("embedded-split", "digits", 0)).numpy()
    labels = bunch.target[order]
    rank = np.empty_like(labels)
    for label in range(10):
        rank[labels == label] = np.arange((labels == label).sum())
    test, train = order[rank < _DIGITS_TEST_PER_CLASS], order[rank >= _DIGITS_TEST_PER_CLASS]
    return split_of(images[train], bunch.target[train]), split_of(images[test], bunch.target[test])


def read_glyphs(dataset: Dataset) -> tuple[Split, Split]:
    """Render characters in 12 styles, each image with its own affine map, ink, paper and noise, as 3 equal channels.

    All randomness is from the stream ("glyphs", "glyphs", 0). The bits depend on the font renderer's version.
    """
    fonts = _fonts()
    canvases = np.stack([[_draw(character, font) for font in fonts] for character in glyph_classes()])
    per_class = GLYPH_TRAIN + GLYPH_TEST
    count = GLYPH_CLASSES * per_class
    stream = np.random.default_rng(seeding.stream_seed("glyphs", "glyphs", 0))
    maps = _affine_maps(stream.uniform(-1, 1, (count, 6)))
    labels = np.repeat(np.arange(GLYPH_CLASSES), per_class)
    serial = np.tile(np.arange(per_class), GLYPH_CLASSES)
    pixels = np.empty((count, dataset.pack_size, dataset.pack_size), dtype=np.uint8)
    for row, (label, number) in enumerate(zip(labels, serial, strict=True)):
        pixels[row] = _warp(canvases[label, number % len(fonts)], maps[row], dataset.pack_size)
    images = np.repeat(_print(pixels, stream)[:, None], 3, axis=1)
    test = serial >= GLYPH_TRAIN
    return split_of(images[~test], labels[~test]), split_of(images[test], labels[test])


def glyph_classes() -> tuple[str, ...]:
    """Return the characters by code point: letters in all 12 styles, no digit in any script, no two that look alike.

    Raises `DataError` if the fonts hold too few of them.
    """
    fonts = _fonts()
    upright = fonts[0]
    common = set.intersection(*(_characters(Path(str(font.path))) for font in fonts))
    seen = {_draw(digit, upright).tobytes() for digit in DIGITS}
    chosen: list[str] = []
    for character in sorted(common):
        if len(chosen) < GLYPH_CLASSES and _is_plain_letter(character):
            picture = _draw(character, upright).tobytes()
            if picture not in seen:
                seen.add(picture)
                chosen.append(character)
    if len(chosen) < GLYPH_CLASSES:
        raise DataError(
            f"matplotlib's fonts hold only {len(chosen)} of {GLYPH_CLASSES} characters; reinstall matplotlib"
        )
    return tuple(chosen)


def _is_plain_letter(character: str) -> bool:
    words = unicodedata.name(character, "").replace("-", " ").split()
    return (
        unicodedata.category(character) in ("Lu", "Ll", "Lo")
        and not unicodedata.decomposition(character)
        and unicodedata.numeric(character, None) is None
        and _DIGIT_WORDS.isdisjoint(words)
    )


def _fonts() -> list[ImageFont.FreeTypeFont]:
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    names = [
        f"DejaVu{family}{style}"
        for family, slant in _STYLES.items()
        for style in ("", "-Bold", f"-{slant}", f"-Bold{slant}")
    ]
    return [ImageFont.truetype(folder / f"{name}.ttf", _POINTS) for name in names]


def _characters(font: Path) -> set[str]:
    from matplotlib.ft2font import FT2Font

    return {chr(code) for code in FT2Font(str(font)).get_charmap()}


def _draw(character: str, font: ImageFont.FreeTypeFont) -> np.ndarray:
    """Draw the character in white on black, uint8 (64, 64), with its bounding box in the middle."""
    canvas = Image.new("L", (_CANVAS, _CANVAS))
    left, top, right, bottom = font.getbbox(character)
    corner = ((_CANVAS - left - right) / 2, (_CANVAS - top - bottom) / 2)
    ImageDraw.Draw(canvas).text(corner, character, fill=255, font=font)
    return np.asarray(canvas)


def _affine_maps(draws: np.ndarray) -> np.ndarray:
    """Return PIL's inverse maps (N, 6) from draws (N, 6) in [-1, 1): rotation, two scales, shear, two shifts."""
    angle = np.deg2rad(15 * draws[:, 0])
    scale_x, scale_y = np.exp(0.2 * draws[:, 1]), np.exp(0.2 * draws[:, 2])
    shear, shift = 0.2 * draws[:, 3], 5 * draws[:, 4:6]
    cosine, sine, middle = np.cos(angle), np.sin(angle), _CANVAS / 2
    a, b = cosine * scale_x, (shear * cosine - sine) * scale_y
    d, e = sine * scale_x, (shear * sine + cosine) * scale_y
    c = middle - (a + b) * middle + shift[:, 0]
    f = middle - (d + e) * middle + shift[:, 1]
    return np.stack([a, b, c, d, e, f], axis=1)


def _warp(canvas: np.ndarray, inverse: np.ndarray, size: int) -> np.ndarray:
    image = Image.fromarray(canvas)
    warped = image.transform(image.size, Image.Transform.AFFINE, inverse.tolist(), Image.Resampling.BILINEAR)
    return np.asarray(warped.resize((size, size), Image.Resampling.BOX))


def _print(pixels: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """Vary ink and paper by image and add noise by pixel, from and to uint8 (N, H, W)."""
    ink = stream.integers(160, 256, (len(pixels), 1, 1))
    paper = stream.integers(0, 40, (len(pixels), 1, 1))
    noise = stream.integers(-16, 17, pixels.shape)
    printed: np.ndarray = paper + pixels.astype(np.int64) * (ink - paper) // 255 + noise
    return printed.clip(0, 255).astype(np.uint8)
