"""From what an encoder says of its rows to what that says of the tokens that are made of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def per_token(values: Tensor, token_of_row: Tensor, n_tokens: int, dim: int = 0) -> Tensor:
    """The mean, in float32, over the rows of each token; 0 where a token has none. `dim` of values: the rows.

    Sums run in the order of the rows, on any device: a scattered addition would round differently each time.
    """
    if torch.equal(token_of_row, torch.arange(n_tokens)):
        return values
    order = token_of_row.argsort(stable=True)
    order = order[token_of_row[order] >= 0]
    counts = torch.bincount(token_of_row[order], minlength=n_tokens)
    # [N, most rows of a token], padded with a row of zeros.
    index = torch.full((n_tokens, int(counts.max())), values.shape[dim])
    place = torch.arange(len(order)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    index[token_of_row[order], place] = order
    rows = values.movedim(dim, 0)
    padded = torch.cat([rows, torch.zeros_like(rows[:1])])
    shape = (-1, *[1] * (rows.ndim - 1))
    mean = padded[index.to(values.device)].float().sum(dim=1) / counts.clamp(min=1).reshape(shape).to(values.device)
    return mean.movedim(0, dim)


def seen_from_its_window(windows: Sequence[int], images: Sequence[int]) -> Tensor:
    """[R]: of the rows of its image, the share that each row is seen from. windows, images: how many rows each has.

    Makes the mean over the rows of a window one over those of the image, or rows in smaller windows would stand out.
    """
    of_window, of_image = (torch.tensor(sizes).repeat_interleave(torch.tensor(sizes)) for sizes in (windows, images))
    return of_window / of_image
