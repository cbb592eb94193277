"""What all drawn datasets have in common: the side of a soft token and the colours of things."""

from __future__ import annotations

SOFT_TOKEN_PX = 48
"""Side of the square of pixels behind one Gemma 4 soft token: 16 px patches, pooled 3 x 3."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 30, 30),
    "green": (30, 160, 40),
    "blue": (40, 60, 220),
    "yellow": (225, 200, 20),
    "brown": (130, 80, 30),
    "teal": (20, 160, 160),
    "gray": (120, 120, 120),
    "black": (10, 10, 10),
}
