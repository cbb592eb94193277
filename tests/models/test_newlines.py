"""Rows that a model puts between vision tokens: which of them are left when tokens are selected."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.compressed import Compressed
from pytest_vtc.compression import budget
from pytest_vtc.models.sequences import Prefix, Tile, VisionTokens, lay_out

TILES = st.lists(
    # Of extreme images, LLaVA-NeXT cuts off all columns and leaves the newlines.
    st.builds(Tile, st.integers(1, 5), st.integers(0, 5), st.sampled_from(["none", "rows", "end"])),
    min_size=1,
    max_size=3,
).filter(lambda tiles: sum(tile.n_tokens for tile in tiles) > 1)


def image(tiles: list[Tile]) -> VisionTokens:
    """Every row is its own number."""
    return VisionTokens(torch.arange(float(sum(tile.n_rows for tile in tiles)))[:, None], tuple(tiles))


def left(tokens: VisionTokens, chosen: list[int]) -> Prefix:
    indices = torch.tensor(sorted(chosen))
    return lay_out([9] * len(tokens.tiles), [tokens], [Compressed(indices, None, indices)], "original", 9)


@given(tiles=TILES, data=st.data())
def test_a_selection_keeps_its_tokens_and_newlines_of_whole_lines_within_its_ratio(
    tiles: list[Tile], data: Any
) -> None:
    tokens = image(tiles)
    ratio = data.draw(st.floats(0.001, 1))
    n_kept = budget(len(tokens), ratio)
    # In one piece often enough: whole lines are rare among tokens drawn singly.
    start = data.draw(st.integers(0, len(tokens) - n_kept))
    pieces = [range(start, start + n_kept), data.draw(st.permutations(range(len(tokens))))[:n_kept]]
    chosen = data.draw(st.sampled_from(pieces))
    prefix = left(tokens, list(chosen))
    rows = prefix.features[0][:, 0].long().tolist()
    assert rows == sorted(rows) == [*prefix.positions]
    assert len(rows) <= budget(len(tokens.rows), ratio)
    numbers = range(len(tokens.rows)) if tokens.token_rows is None else tokens.token_rows.tolist()
    kept = {numbers[token] for token in chosen}
    assert {row for row in rows if row in set(numbers)} == kept
    for row in set(rows) - kept:
        assert lines_of(tiles)[row] <= kept


@given(tiles=TILES)
def test_keeping_every_token_keeps_every_row(tiles: list[Tile]) -> None:
    tokens = image(tiles)
    assert torch.equal(left(tokens, [*range(len(tokens))]).features[0], tokens.rows)


def lines_of(tiles: list[Tile]) -> dict[int, set[int]]:
    """Of each newline, by its row, the rows of the tokens that it ends: a line, or a whole tile."""
    lines: dict[int, set[int]] = {}
    first = 0
    for tile in tiles:
        ends = {"none": 0, "rows": tile.columns, "end": tile.n_tokens}[tile.newlines]
        for _ in range(tile.n_newlines):
            lines[first + ends] = set(range(first, first + ends))
            first += ends + 1
        first += tile.n_tokens if tile.newlines == "none" else 0
    return lines
