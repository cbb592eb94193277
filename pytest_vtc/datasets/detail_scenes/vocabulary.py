"""What scenes show and how it is answered: letters, words, shapes, colours."""

from __future__ import annotations

LETTERS = tuple("bcdefghjklmnopqrstuvwxyz")
"""Without a, an article to whoever compares answers, and without i, a bar to many fonts and a pronoun in an answer."""

WORDS = (
    "bag", "bat", "bus", "cap", "car", "cat", "cup", "cut", "dog", "dot", "hat", "hen",
    "hut", "map", "mat", "net", "pen", "pet", "pig", "pot", "rug", "sea", "sun", "tub",
)  # fmt: skip
"""Words of three letters, most of which differ from another one by a single letter."""

LONG_WORDS = (
    "bake", "band", "bank", "bold", "bone", "cake", "cane", "card", "cold", "cone", "corn", "dark", "desk", "disk",
    "fast", "fire", "fish", "fork", "gate", "gold", "hand", "home", "horn", "lake", "lamp", "land", "line",
    "mail", "milk", "park", "past", "path", "pine", "rain", "ring", "road", "sail", "sand", "ship", "shop",
    "silk", "sing", "soap", "soup", "tail", "time", "town", "vine", "wind", "wine",
)  # fmt: skip

SHAPES: dict[str, tuple[str, ...]] = {
    "circle": ("circle",),
    "square": ("square",),
    "triangle": ("triangle",),
    "diamond": ("diamond", "rhombus"),
    "star": ("star",),
    "cross": ("cross", "plus"),
    "heart": ("heart",),
    "moon": ("moon", "crescent"),
}
"""Each shape with what it may be called; the first one is its name in questions."""

COLOUR_ANSWERS: dict[str, tuple[str, ...]] = {"gray": ("gray", "grey"), "teal": ("teal", "cyan", "turquoise")}
"""Colours that have more than one name."""
