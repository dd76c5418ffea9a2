"""Writes slides.json: what OpenSlide itself says of slides, and hashes of the pixels that it reads.

    python tests/golden/make_slides.py ../shared/data/slides tests/fixtures/slides > tests/golden/slides.json

Each folder may be absent from a clone; tests/slides.rs skips its files then. Made with OpenSlide 3.4.1 (Debian
12, libjpeg-turbo 2.1.5), openslide-python 1.4.7 without openslide-bin, Pillow 13.0.0, numpy 2.4.6.

A region is [level, left and top in base pixels, width and height in pixels of the level]; its hash is SHA-256
of the RGB bytes, laid on white, of the buffer that the C function fills. openslide-python's pixels must be the
same: it only divides by alpha, so they are compared here, and may differ by one where alpha is partial.
"""

import ctypes
import hashlib
import json
import sys
from pathlib import Path

import numpy
import openslide
import PIL.Image

LIBRARY = ctypes.CDLL("libopenslide.so.0")
LIBRARY.openslide_open.restype = ctypes.c_void_p
LIBRARY.openslide_open.argtypes = [ctypes.c_char_p]
LIBRARY.openslide_close.argtypes = [ctypes.c_void_p]
LIBRARY.openslide_get_error.restype = ctypes.c_char_p
LIBRARY.openslide_get_error.argtypes = [ctypes.c_void_p]
LIBRARY.openslide_read_region.argtypes = [ctypes.c_void_p, ctypes.c_void_p] + [
    ctypes.c_int64, ctypes.c_int64, ctypes.c_int32, ctypes.c_int64, ctypes.c_int64,
]


def on_white(argb):
    alpha = (argb >> 24) & 255
    return numpy.stack([((argb >> shift) & 255) + 255 - alpha for shift in (16, 8, 0)], -1).astype(numpy.uint8)


def read(path, level, x, y, width, height):
    handle = LIBRARY.openslide_open(str(path).encode())
    buffer = numpy.zeros((height, width), numpy.uint32)
    LIBRARY.openslide_read_region(handle, buffer.ctypes.data, x, y, level, width, height)
    error = LIBRARY.openslide_get_error(handle)
    LIBRARY.openslide_close(handle)
    if error:
        raise RuntimeError(error.decode())
    return on_white(buffer)


def is_misread(path, slide, level):
    """Whether OpenSlide 3 returns skewed rows and unwritten memory: see engine/slide/src/skew.rs."""
    size = slide.level_dimensions[level]
    sides = [slide.properties.get(f"openslide.level[{level}].tile-{side}") for side in ("width", "height")]
    if not any(tile is not None and int(tile) > side for tile, side in zip(sides, size, strict=True)):
        return False
    with PIL.Image.open(path) as tiff:
        for page in range(tiff.n_frames):
            tiff.seek(page)
            if tiff.size == size and tiff.tag_v2.get(259) == 7 and tiff.tag_v2.get(262) in (2, 6):
                return False
    return True


def regions(path, slide):
    for level, (width, height) in enumerate(slide.level_dimensions):
        if is_misread(path, slide, level):
            continue
        scale = slide.level_downsamples[level]
        size = [min(width, 300), min(height, 200)]
        yield [level, 0, 0, *size]
        # The middle, on a whole pixel of the level and off it, and the far corner with what lies beyond.
        yield [level, int(width // 3 * scale), int(height // 3 * scale), *size]
        yield [level, slide.dimensions[0] // 2 + 1, slide.dimensions[1] // 2 + 1, *size]
        yield [level, max(0, int((width - 40) * scale)), max(0, int((height - 40) * scale)), 64, 64]


def number(text):
    return float(text) if text is not None else None


def describe(path):
    slide = openslide.OpenSlide(str(path))
    found = {
        "format": slide.properties["openslide.vendor"],
        "levels": [
            [*size, scale] for size, scale in zip(slide.level_dimensions, slide.level_downsamples, strict=True)
        ],
        "mpp": number(slide.properties.get("openslide.mpp-x")),
        "magnification": number(slide.properties.get("openslide.objective-power")),
        "associated": {},
        "regions": [],
    }
    try:
        for level, x, y, width, height in regions(path, slide):
            pixels = read(path, level, x, y, width, height)
            rgba = numpy.asarray(slide.read_region((x, y), level, (width, height))).astype(int)
            alpha = rgba[..., 3:]
            python = (rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
            worst = abs(python - pixels).max()
            assert worst <= (0 if numpy.isin(alpha, (0, 255)).all() else 1), (path, worst)
            found["regions"].append([level, x, y, width, height, hashlib.sha256(pixels.tobytes()).hexdigest()])
        for name in sorted(slide.associated_images):
            picture = slide.associated_images[name]
            bytes_ = numpy.asarray(picture.convert("RGBA"))
            assert (bytes_[..., 3] == 255).all(), "an associated image is opaque"
            rgb = numpy.ascontiguousarray(bytes_[..., :3])
            found["associated"][name] = [*picture.size, hashlib.sha256(rgb.tobytes()).hexdigest()]
    except (RuntimeError, openslide.OpenSlideError) as error:
        found["read_error"] = str(error)
    return found


def main():
    assert openslide.__library_version__ == "3.4.1", openslide.__library_version__
    slides = {}
    for folder in map(Path, sys.argv[1:]):
        for path in sorted(folder.rglob("*")):
            if not path.is_file() or path.suffix in (".md", ".tsv"):
                continue
            name = str(path.relative_to(folder))
            try:
                slides[name] = describe(path)
            except openslide.OpenSlideError as error:
                slides[name] = {"open_error": str(error)}
    # A slide a line, so that a change shows which.
    lines = ",\n".join(f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(slides[name])}" for name in slides)
    print(f'{{"openslide": "{openslide.__library_version__}", "slides": {{\n{lines}\n}}}}')


main()
