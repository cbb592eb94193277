"""The command line beside pytest: `python -m pytest_vtc list | fetch NAME | run ... | merge DIR ...`."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from pytest_vtc.datasets.base import nearest
from pytest_vtc.datasets.registry import data_home, known_datasets
from pytest_vtc.models.catalogue import CATALOGUE
from pytest_vtc.options import DEFAULT_OUTPUT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    0 on success; 1 if `merge` finds that a gate fails; 2 with one line on standard error if something was wrong with
    what was asked.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options) or 0)
    except (ValueError, RuntimeError) as error:
        # Every error of ours derives from these two and says what to do; a bug keeps its traceback.
        if not type(error).__module__.startswith("pytest_vtc."):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pytest_vtc",
        description="Vision-token compressors: what there is, fetching datasets, and single questions. "
        "The benchmark itself is run by pytest: pytest benchmarks/ --help",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    show = commands.add_parser("list", help="models, datasets and compressors")
    show.set_defaults(command=_list)

    fetch = commands.add_parser("fetch", help="make a dataset ready")
    fetch.add_argument("name", metavar="NAME", help="dataset, as `list` shows it")
    fetch.add_argument("--source", type=Path, metavar="DIR", help="folder with the published files, instead of the Hub")
    fetch.set_defaults(command=_fetch)

    run = commands.add_parser("run", help="ask one question about one image")
    run.add_argument("--model", default="tiny-gemma4", help="short name, Hub id or folder (default: %(default)s)")
    run.add_argument("--image", required=True, metavar="FILE")
    run.add_argument("--prompt", required=True)
    run.add_argument("--compressor", metavar="SPEC", help="name, name(parameter=value) or ./file.py; default: none")
    run.add_argument("--ratio", type=float, default=1.0, help="share of the vision tokens to keep (default: 1)")
    run.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16", "float16"])
    run.add_argument("--quantization", choices=["8bit", "4bit"])
    run.add_argument("--positions", choices=["original", "compact"])
    run.add_argument("--max-new-tokens", type=int, default=256, metavar="T")
    run.add_argument("--seed", type=int, default=42)
    run.set_defaults(command=_run)

    merge = commands.add_parser("merge", help="make one run of the shards of `pytest --vtc-shard I/N`")
    merge.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="output folder of a shard, one for each")
    merge.add_argument(
        "--output", type=Path, default=Path(DEFAULT_OUTPUT), metavar="DIR", help="where to (default: %(default)s)"
    )
    merge.add_argument("--gate", action="append", default=[], help="a gate beside those of the run; may be repeated")
    merge.add_argument("--partial", action="store_true", help="merge what is there although shards are missing")
    merge.set_defaults(command=_merge)
    return parser


def _print_table(title: str, headers: list[str], rows: list[list[Any]], note: str = "") -> None:
    print(f"{title}\n{tabulate(rows, headers, tablefmt='simple', disable_numparse=True)}\n{note}")


def _list(options: argparse.Namespace) -> None:  # noqa: ARG001
    from pytest_vtc.discovery import known_compressors

    _print_table(
        "Models",
        ["name", "weights in GB: bf16", "8-bit", "4-bit", "tokens per image", "licence", "description"],
        [
            [
                card.name,
                *(f"{card.memory_gb(bits):.1f}" if card.parameters > 0.1 else "<0.1" for bits in (16, 8, 4)),
                f"up to {card.tokens_per_image}",
                card.licence,
                card.description,
            ]
            for card in CATALOGUE.values()
        ],
        "Any other Gemma 4 checkpoint works by Hub id or folder.\n",
    )
    home = data_home()
    _print_table(
        "Datasets",
        ["name", "state", "scoring", "licence", "description"],
        [[d.name, d.state(home), d.scoring, d.licence, d.description] for d in known_datasets().values()],
        f"Also: any manifest.jsonl or folder of images, by path. Fetched datasets lie in {home}.\n",
    )
    _print_table(
        "Compressors",
        ["name", "stage", "reference", "description"],
        [
            [name, found.cls.stage, found.cls.reference, found.cls.description]
            for name, found in sorted(known_compressors().items())
        ],
        "Also: ./file.py, and name(parameter=value) for other than default parameters.",
    )


def _fetch(options: argparse.Namespace) -> None:
    from pytest_vtc.datasets.base import DatasetError

    known = known_datasets()
    if options.name not in known:
        raise DatasetError(f"unknown dataset {options.name!r}: {nearest(options.name, list(known))}")
    dataset = known[options.name]
    manifest = dataset.fetch(data_home(), options.source, lambda line: print(line, flush=True))
    print(f"{dataset.name} is built in, nothing to fetch" if manifest is None else f"ready: {manifest}")


def _merge(options: argparse.Namespace) -> int:
    from pytest_vtc.merge import merge

    width = max(80, shutil.get_terminal_size().columns)
    done = merge(options.folders, options.output, options.gate, options.partial, width, sys.stdout.isatty())
    print("\n".join(done.lines))
    failed = done.incomplete or not done.written or any(verdict.outcome == "fail" for verdict in done.verdicts)
    return int(failed)


def _run(options: argparse.Namespace) -> None:
    from pytest_vtc.models.catalogue import locate
    from pytest_vtc.models.families import backend_class
    from pytest_vtc.pipeline import Pipeline, check_family, choose

    compressor = choose(options.compressor, options.ratio)
    if compressor is not None:  # before the model is loaded
        check_family(compressor, backend_class(locate(options.model)), options.model)
    pipeline = Pipeline(
        options.model,
        dtype=options.dtype,
        quantization=options.quantization,
        positions=options.positions,
        seed=options.seed,
    )
    result = pipeline(
        options.image,
        options.prompt,
        compressor=compressor,
        ratio=options.ratio,
        max_new_tokens=options.max_new_tokens,
    )
    print(result.answer)
    print(
        f"[{result.n_tokens} -> {result.n_kept} vision tokens, {result.n_generated} tokens generated"
        f"{', cut off at --max-new-tokens' if result.truncated else ''}, {result.seconds:.2f} s]",
        file=sys.stderr,
    )
