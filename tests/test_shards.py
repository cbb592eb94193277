"""Shards: every case in one of them, images whole, loads even."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.option_values import OptionError, Shard, parse_shard
from pytest_vtc.shards import orders_of_shard
from tests.test_schedule import sweep_of

images = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40).map(sorted)


@given(st.lists(images, min_size=1, max_size=3), st.data())
def test_every_case_is_in_one_shard_with_its_image(blocks: list[list[str]], data: st.DataObject) -> None:
    sweep = sweep_of(*blocks)
    n_images = sum(len({*block}) for block in blocks)
    n = data.draw(st.integers(1, n_images))
    shards = [orders_of_shard(sweep.blocks, Shard(i, n)).tolist() for i in range(1, n + 1)]
    assert sorted(order for shard in shards for order in shard) == list(range(sweep.n_cases))
    homes = [{(c.block.start, c.sample.group) for c in map(sweep.case, shard)} for shard in shards]
    assert sum(map(len, homes)) == n_images
    assert all(homes)
    largest = max(3 * block.count(image) for block in blocks for image in {*block})
    assert max(map(len, shards)) - min(map(len, shards)) <= largest


def test_more_shards_than_images_are_refused() -> None:
    with pytest.raises(OptionError, match="there are 2 images, so at most 2 shards"):
        orders_of_shard(sweep_of("aab").blocks, Shard(1, 3))


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/2/3", "a/b", "-1/2", ""])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="--vtc-shard"):
        parse_shard(text)
