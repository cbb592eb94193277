"""Finds compressors: shipped and dropped-in files, installed entry points, files by path; reads spec strings."""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from pytest_vtc.datasets.base import nearest

ALL, DEFAULT = "all", "default"
"""Words that stand for several compressors where compressors are asked for."""

ON_REQUEST = frozenset(
    {
        "divprune_hybrid",
        "flowcut",
        "g_prune",
        "hiprune",
        "holov",
        "mustdrop",
        "prumerge",
        "prumerge_plus",
        "prunesid",
        "tome",
        "tome_encoder",
        "vscan",
    }
)
"""Shipped compressors that a run leaves out unless they are asked for, by name or by `all`: with them, the run that a
new user starts first would take three times as long. Named here and not in their files: a copy of one of these files,
dropped in under another name to be changed, is run as any other file is."""

ENTRY_POINT_GROUP = "pytest_vtc.compressors"
_SHIPPED = "pytest_vtc.compressors"
_NO_COMPRESSOR = "defines no subclass of pytest_vtc.compression.Compressor"
_ARGUMENTS = r"\s*(?:\((?P<arguments>.*)\))?$"
_NAMED = re.compile(r"^(?P<name>[^()]+?)" + _ARGUMENTS, re.DOTALL)
# A path may hold brackets of its own: `./mine (2).py:Name(alpha=1)`. What begins as `name(` is no path.
_FILE = re.compile(r"^(?!\w+\s*\()(?P<path>.+?\.py)(?::(?P<name>\w+))?" + _ARGUMENTS, re.DOTALL)


class SpecError(ValueError):
    """A compressor that was asked for cannot be had; the message says why and what to do."""


@dataclass(frozen=True)
class Asked:
    """A compressor as a run has it. seed_group: the spec that it repeats with one of several seeds, or None."""

    compressor: Any
    seed_group: str | None = None


@dataclass(frozen=True)
class CompressorClass:
    """A compressor that was found: its class and the file that defines it."""

    cls: Any
    source: Path

    @property
    def name(self) -> str:
        return str(self.cls.name)


def shipped_folder() -> Path:
    """The folder of shipped and dropped-in compressor files."""
    return Path(__file__).parent / "compressors"


def shipped_names() -> list[str]:
    """Names of the files in the drop-in folder, found without importing any of them (and so without torch)."""
    return sorted(path.stem for path in shipped_folder().glob("*.py") if not path.stem.startswith("_"))


@functools.cache
def known_compressors() -> dict[str, CompressorClass]:
    """Every compressor by name, from the drop-in folder and from installed packages.

    Raises SpecError if two have one name, or a file or an entry point cannot be imported or holds no compressor.
    """
    found: dict[str, CompressorClass] = {}
    for stem in shipped_names():
        path = shipped_folder() / f"{stem}.py"
        items = _classes(_import(f"{_SHIPPED}.{stem}", path))
        if not items:
            raise SpecError(f"{path} {_NO_COMPRESSOR}; a file that is none begins with _")
        for item in items:
            _add(found, item)
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        for item in _from_entry_point(entry):
            _add(found, item)
    return found


def default_compressors() -> list[str]:
    """Names of the compressors of a run for which none were asked: all that are known but for `ON_REQUEST`."""
    return [name for name in known_compressors() if name not in ON_REQUEST]


def left_out() -> list[str]:
    """Names of the others."""
    return [name for name in known_compressors() if name in ON_REQUEST]


def resolve(specs: list[str]) -> list[Any]:
    """Instances for spec strings: `divprune`, `fps(...)`, `./mine.py`, `./mine.py:Name(alpha=1)`, `all`, `default`.

    A file without `:Name` gives every compressor in it. Names must be distinct from the known ones.
    Raises SpecError.
    """
    return [asked.compressor for asked in resolve_with_seeds(specs, 1)]


def resolve_with_seeds(specs: list[str], n_seeds: int) -> list[Asked]:
    """As `resolve`, and of each compressor that has a parameter `seed`, which the spec does not give, `n_seeds`.

    These are its seed by default, which is a whole number, and those that follow: `random`, `random(seed=1)`, ...
    """
    asked = [item for spec in _expanded(specs) for item in _resolve_one(spec, n_seeds)]
    classes: dict[str, CompressorClass] = {}
    for item in asked:
        cls = type(item.compressor)
        _add(classes, CompressorClass(cls, _source(cls)))
    found: dict[str, Asked] = {}
    for item in asked:
        spec = item.compressor.spec
        if spec not in found or found[spec].seed_group is None:
            found[spec] = item
    return list(found.values())


def _expanded(specs: list[str]) -> list[str]:
    """Specs in which no word stands for several compressors any more."""
    words = {ALL: lambda: list(known_compressors()), DEFAULT: default_compressors}
    return [part for spec in specs for part in (words[spec.strip()]() if spec.strip() in words else [spec])]


def source_hash(compressor: Any) -> str:
    """Hash of the files a compressor is made of: changes when the algorithm may have changed.

    These are the files of its class and of the classes it derives from, what these files have imported from files
    beside them, and those of ours that any algorithm may have a part of: `pytest_vtc.compression` and what it hands on.
    """
    handed_on = vars(sys.modules["pytest_vtc.compression"]).values()
    modules = {getattr(value, "__module__", None) or "" for value in handed_on}
    ours = (_file(sys.modules[name]) for name in modules if name.startswith("pytest_vtc."))
    files = {file for file in ours if file is not None}
    for cls in type(compressor).__mro__:
        module = sys.modules[cls.__module__]
        if cls.__module__ in ("abc", "builtins", "pytest_vtc.compression") or not (source := _file(module)):
            continue
        files.add(source)
        for value in vars(module).values():
            imported = value if isinstance(value, ModuleType) else sys.modules.get(getattr(value, "__module__", ""))
            if (beside := _file(imported)) and beside.is_relative_to(source.parent):
                files.add(beside)
    # Contents alone, in an order of their own: where a checkout lies changes no algorithm.
    contents = sorted(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    return hashlib.sha256("".join(contents).encode()).hexdigest()[:16]


def _file(module: ModuleType | None) -> Path | None:
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve()


def _resolve_one(spec: str, n_seeds: int) -> list[Asked]:
    if file := _FILE.match(spec.strip()):
        arguments = _arguments(spec, file["arguments"])
        path, wanted = Path(file["path"]).expanduser(), file["name"] or ""
        found = _from_file(path)
        chosen = [item for item in found if not wanted or wanted in (item.name, item.cls.__name__)]
        if not chosen:
            names = [item.name for item in found]
            raise SpecError(f"{path} defines no compressor called {wanted!r}; {nearest(wanted, names)}")
        return [asked for item in chosen for asked in _repeated(item, arguments, spec, n_seeds)]
    named = _NAMED.match(spec.strip())
    if named is None:
        raise SpecError(f"{spec!r} is not a compressor: write name, name(parameter=value) or ./file.py")
    name, arguments = named["name"], _arguments(spec, named["arguments"])
    known = known_compressors()
    if name not in known:
        raise SpecError(f"unknown compressor {name!r}: {nearest(name, list(known))}")
    return _repeated(known[name], arguments, spec, n_seeds)


def _repeated(item: CompressorClass, arguments: dict[str, Any], spec: str, n_seeds: int) -> list[Asked]:
    """The compressor, and if it can be repeated, with the seeds that follow."""
    first = _instance(item, arguments, spec)
    seed = first.parameters.get("seed")
    if n_seeds == 1 or "seed" in arguments or type(seed) is not int:
        return [Asked(first)]
    others = (_instance(item, arguments | {"seed": seed + i}, spec) for i in range(1, n_seeds))
    return [Asked(compressor, first.spec) for compressor in (first, *others)]


def _arguments(spec: str, text: str | None) -> dict[str, Any]:
    if not text or not text.strip():
        return {}
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
            raise TypeError("brackets do not match")
        names = [keyword.arg for keyword in call.keywords]
        if call.args or None in names:
            raise ValueError("every parameter needs its name")
        if len(set(names)) < len(names):
            raise ValueError("a parameter is given twice")
        return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, TypeError, ValueError) as error:
        raise SpecError(f"{spec!r}: cannot read the parameters ({error}); write name(parameter=value)") from error


def _instance(item: CompressorClass, arguments: dict[str, Any], spec: str) -> Any:
    cls = item.cls
    allowed = _parameters(cls)
    for name in arguments:
        if name in allowed:
            continue
        if not allowed and name in inspect.signature(cls).parameters:
            # Only fields show in the spec and in the key of a stored measurement.
            has = f"make {cls.__name__} a dataclass whose fields are its parameters ({item.source})"
        else:
            has = nearest(name, allowed) if allowed else "it has none"
        raise SpecError(f"{spec!r}: {item.name} has no parameter {name!r}; {has}")
    try:
        return cls(**arguments)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{spec!r}: {error}") from error


def _parameters(cls: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(cls) if field.init] if dataclasses.is_dataclass(cls) else []


def _from_file(path: Path) -> list[CompressorClass]:
    if not path.is_file():
        raise SpecError(f"no compressor file at {path} (looked in {Path.cwd()})")
    path = path.resolve()
    if path.parent == shipped_folder().resolve():
        # By path or by name, it is the same class.
        module_name = f"{_SHIPPED}.{path.stem}"
    else:
        # The name carries the whole path: two files called algo.py must not be taken for one module.
        module_name = f"_vtc_external_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    found = _classes(_import(module_name, path))
    if not found:
        raise SpecError(f"{path} {_NO_COMPRESSOR}")
    for item in found:
        clash = known_compressors().get(item.name)
        if clash is not None and clash.source.resolve() != path:
            raise SpecError(f"two compressors are called {item.name!r}: {clash.source} and {path}; rename one of them")
    return found


def _from_entry_point(entry: importlib.metadata.EntryPoint) -> list[CompressorClass]:
    package = entry.dist.name if entry.dist else "an installed package"
    where = f"entry point {entry.name!r} = {entry.value!r} of {package}"
    try:
        loaded = entry.load()
    except Exception as error:
        # Whatever an installed package raises while it is imported is its owner's to see, with the place.
        raise SpecError(f"{where}: {type(error).__name__}: {error}") from error
    if isinstance(loaded, ModuleType) and (found := _classes(loaded)):
        return found
    if _is_compressor(loaded):
        return [_found(loaded)]
    raise SpecError(f"{where} {_NO_COMPRESSOR}")


def _import(module_name: str, path: Path) -> ModuleType:
    if module_name in sys.modules:
        return sys.modules[module_name]
    try:
        if module_name.startswith(f"{_SHIPPED}."):
            return importlib.import_module(module_name)
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        spec.loader.exec_module(module)
        return module
    except (Exception, SystemExit) as error:
        # Whatever a person's file raises while it is read is theirs to see, with the place.
        sys.modules.pop(module_name, None)
        line = _line_in(error, path)
        raise SpecError(f"{path}{f':{line}' if line else ''}: {type(error).__name__}: {error}") from error


def _line_in(error: BaseException, path: Path) -> int | None:
    """The line of the file at `path` that cannot be parsed, or that was running when `error` was raised."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _classes(module: ModuleType) -> list[CompressorClass]:
    """The compressors a module defines, or, if it is a package, takes from its own submodules."""
    own = [
        value
        for value in vars(module).values()
        if _is_compressor(value) and f"{value.__module__}.".startswith(f"{module.__name__}.")
    ]
    return [_found(cls) for cls in dict.fromkeys(own)]


def _is_compressor(value: Any) -> bool:
    from pytest_vtc.compression import Compressor

    return isinstance(value, type) and issubclass(value, Compressor) and not inspect.isabstract(value)


def _found(cls: Any) -> CompressorClass:
    from pytest_vtc.compression import Stage

    source = _source(cls)
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise SpecError(
            f"{source}: {cls.__name__}.name is {name!r}; a name is lower case letters, digits and underscores"
        )
    if name in (ALL, DEFAULT):
        raise SpecError(f"{source}: a compressor cannot be called {name!r}, which stands for several; rename it")
    if not isinstance(getattr(cls, "description", None), str):
        raise SpecError(f"{source}: {cls.__name__} needs a one-line `description`")
    if cls.stage not in get_args(Stage):
        raise SpecError(f"{source}: {cls.__name__}.stage is {cls.stage!r}; it is one of {', '.join(get_args(Stage))}")
    if not isinstance(cls.needs, (set, frozenset)):
        raise SpecError(f"{source}: {cls.__name__}.needs is {cls.needs!r}; it is a set, such as frozenset({{'text'}})")
    return CompressorClass(cls, source)


def _source(cls: type) -> Path:
    module = sys.modules[cls.__module__]
    return Path(str(module.__file__))


def _add(found: dict[str, CompressorClass], item: CompressorClass) -> None:
    if (other := found.get(item.name)) is not None and other.cls is not item.cls:
        raise SpecError(f"two compressors are called {item.name!r}: {other.source} and {item.source}; rename one")
    found[item.name] = item
