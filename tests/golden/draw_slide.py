"""Draws the picture behind tests/fixtures/slides/drawn.svs: discs of stain colours.

    python tests/golden/draw_slide.py drawn.png

Pillow 13.0.0, numpy 2.4.6, seed 20261121.
"""

import sys

import numpy
from PIL import Image, ImageDraw


def main():
    random = numpy.random.default_rng(20261121)
    picture = Image.new("RGB", (700, 520), (244, 232, 240))
    draw = ImageDraw.Draw(picture)
    for count, radii, low, high in [
        (60, (20, 70), (215, 150, 195), (235, 190, 215)),
        (400, (3, 7), (80, 50, 120), (120, 90, 160)),
    ]:
        for _ in range(count):
            x, y = random.integers(0, [700, 520])
            radius = int(random.integers(*radii))
            colour = tuple(int(value) for value in random.integers(low, high))
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
    picture.save(sys.argv[1])


main()
