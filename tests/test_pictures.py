"""Pictures of what compressors keep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from pytest_vtc.cli import main
from pytest_vtc.compressed import Compressed
from pytest_vtc.compressors.divprune import DivPrune
from pytest_vtc.compressors.divprune_hybrid import DivPruneHybrid
from pytest_vtc.models.gemma4 import Gemma4Backend
from pytest_vtc.pictures import contact_sheet, draw, fate, file_name, original

GRID = (2, 3)
FRAME = (255, 140, 0)


def selection(*indices: int) -> Compressed:
    kept = torch.tensor(indices)
    return Compressed(kept, None, kept)


def merged(shares: list[list[float]], positions: list[int] | None) -> Compressed:
    matrix = torch.tensor(shares)

    def merge(rows: Tensor) -> Tensor:
        return matrix @ rows

    places = None if positions is None else torch.tensor(positions)
    return Compressed(None, merge(torch.ones(matrix.shape[1], 4)), places, merge)


def red_image() -> Image.Image:
    return Image.new("RGB", (90, 60), (255, 0, 0))


def centre(picture: Image.Image, token: int) -> tuple[int, int, int]:
    """The colour in the middle of a token's square of a picture of the 2 x 3 grid."""
    cell = picture.width // GRID[1]
    row, column = divmod(token, GRID[1])
    pixel = picture.getpixel((column * cell + cell // 2, picture.height - (GRID[0] - row) * cell + cell // 2))
    assert isinstance(pixel, tuple)
    return pixel[:3]


def test_a_selection_keeps_its_tokens_and_drops_the_others() -> None:
    found = fate(selection(1, 4), 6)
    assert found.row.tolist() == [-1, 0, -1, -1, 1, -1]
    assert found.summary == "2 of 6 tokens kept"


def test_tokens_of_a_merge_are_known_by_what_it_makes_of_unit_vectors() -> None:
    found = fate(merged([[0.5, 0.5, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 0.2, 0.4, 0.4]], [0, 2, 4]), 6)
    assert found.row.tolist() == [0, 0, 1, 2, 2, 2]
    assert found.leads.tolist() == [False, False, True, False, False, False]
    assert found.places == (0, -1, 4)
    assert found.summary == "6 tokens to 3: 1 kept, 5 merged into 2"


def test_a_token_that_is_most_of_its_row_is_kept_and_one_in_several_rows_alike_is_shared() -> None:
    found = fate(merged([[1, 0, 0.1, 0.1, 0, 0], [0, 1, 0.1, 0.1, 0, 0]], None), 6)
    assert found.leads.tolist() == [True, True, False, False, False, False]
    assert found.shared.tolist() == [False, False, True, True, False, False]
    assert found.summary == "6 tokens to 2: 2 kept, 2 added to them"


def test_rows_that_say_nothing_but_their_places_are_shown_there() -> None:
    found = fate(Compressed(None, torch.ones(2, 4), torch.tensor([0, 5])), 6)
    assert found.row.tolist() == [0, -1, -1, -1, -1, 1]
    assert found.summary == "2 of 6 tokens kept"


def test_tokens_of_a_smaller_image_are_no_tokens_of_this_one() -> None:
    found = fate(Compressed(None, torch.ones(2, 4), torch.tensor([0, 5])), 6, afresh=True)
    assert (found.places, found.summary) == ((0, 5), "2 tokens of a smaller image, for 6")


def test_kept_tokens_are_shown_as_they_are_and_dropped_ones_dark_and_grey() -> None:
    picture = draw(red_image(), fate(selection(1, 4), 6), GRID, "mine")
    assert centre(picture, 1) == centre(picture, 4) == (255, 0, 0)
    red, green, blue = centre(picture, 0)
    assert red == green == blue < 100
    assert FRAME in {colour for _, colour in picture.getcolors(10_000) or []}


def test_tokens_of_one_row_share_a_tint() -> None:
    white = Image.new("RGB", (90, 60), "white")
    found = fate(merged([[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0.5, 0.5, 0, 0]], None), 6)
    tints = [centre(draw(white, found, GRID, "mine"), token) for token in range(4)]
    assert tints[0] == tints[1] != tints[2] == tints[3]


def test_the_sheet_holds_every_picture() -> None:
    one = original(red_image(), GRID)
    assert contact_sheet([one]).width < contact_sheet([one] * 4).width == contact_sheet([one] * 9).width
    assert contact_sheet([one] * 4).height < contact_sheet([one] * 5).height == contact_sheet([one] * 8).height


def test_a_file_is_called_after_the_compressor() -> None:
    assert file_name(DivPrune()) == "divprune.png"
    assert file_name(DivPruneHybrid(alpha=0.3)) == "divprune_hybrid-alpha=0.3.png"


# The command


def test_pictures_of_a_sample_of_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["picture", "--image", "probes:17", "--compressors", "divprune", "pool", "--output", str(tmp_path)]
    assert main(command) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["contact-sheet.png", "divprune.png", "pool.png"]
    shown = capsys.readouterr().out
    assert "divprune.png: 16 of 64 tokens kept" in shown
    assert "pool.png: 64 tokens to 16: 64 merged into 16" in shown
    assert all(path.stat().st_size < 30_000 for path in tmp_path.iterdir())


def test_pictures_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (96, 48), "white").save(tmp_path / "image.png")
    command = ["picture", "--image", str(tmp_path / "image.png"), "--compressors", "identity", "--ratio", "0.5"]
    assert main([*command, "--output", str(tmp_path)]) == 0
    with Image.open(tmp_path / "identity.png") as picture:
        assert picture.width > picture.height - 46  # the image's shape, below two lines of text


def test_what_the_model_cannot_run_is_left_out_of_all_and_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gemma4Backend, "lacks", {"encode": "it takes one size"})
    assert main(["picture", "--compressors", "all", "--output", str(tmp_path)]) == 0
    assert "not drawn: downsample cannot be run on this model: it takes one size" in capsys.readouterr().out
    assert not (tmp_path / "downsample.png").exists()
    assert main(["picture", "--compressors", "downsample", "--output", str(tmp_path)]) == 2
    assert "downsample cannot be run on this model: it takes one size" in capsys.readouterr().err


def test_an_image_in_tiles_is_refused(
    tmp_path: Path, checkpoint: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (200, 90), "white").save(tmp_path / "image.png")
    command = ["picture", "--image", str(tmp_path / "image.png"), "--compressors", "fps", "--output", str(tmp_path)]
    assert main([*command, "--model", str(checkpoint("internvl"))]) == 2
    assert "tiles; a picture shows one grid only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ratio", "1"], "keeps all 64 tokens"),
        (["--image", "probes:1000000"], "probes has 7,260 samples"),
        (["--image", "gone.png"], "gone.png"),
        (["--image", "nope:3"], "unknown dataset 'nope'"),
        (["--compressors", "nope"], "unknown compressor 'nope'"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["picture", "--output", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())
