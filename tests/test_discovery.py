"""Finding compressors: shipped and dropped-in files, files by path, installed packages, spec strings."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
import torch

import pytest_vtc.compressors
from pytest_vtc import discovery
from pytest_vtc.compressed import run_compressor
from pytest_vtc.discovery import SpecError, known_compressors, resolve, shipped_names, source_hash

SHIPPED = ["divprune", "divprune_hybrid", "downsample", "fps", "identity", "pool", "random"]

FIRST_TOKENS = """
    from dataclasses import dataclass
    from typing import ClassVar
    import torch
    from pytest_vtc.compression import Compressor

    @dataclass(frozen=True)
    class {cls}(Compressor):
        name: ClassVar = {name!r}
        description: ClassVar = "the first tokens"
        skip: int = 0

        def compress(self, features, n_target, **ctx):
            return torch.arange(n_target) + self.skip
"""

# As a file of the seed project vtbench is written, but for the line that imports Compressor.
SEED_STYLE = '''
    """Strongest tokens: keep the rows with the largest L1 norm."""

    import torch
    import torch.nn.functional as F

    from pytest_vtc.compression import Compressor


    class Strongest(Compressor):

        name = "strongest"
        description = "Rows with the largest L1 norm"

        def __init__(self, power: float = 1.0):
            if power <= 0:
                raise ValueError(f"power must be positive, got {power}")
            self.power = power

        def compress(self, features: torch.Tensor, n_target: int, **ctx) -> torch.Tensor:
            n = len(features)
            if n <= n_target:
                return features
            score = features.float().abs().pow(self.power).sum(dim=1)
            idx = score.argsort(descending=True)[:n_target]
            return features[idx]
'''


@pytest.fixture(autouse=True)
def _forget_what_was_found() -> Iterator[None]:
    modules = set(sys.modules)
    known_compressors.cache_clear()
    importlib.invalidate_caches()
    yield
    known_compressors.cache_clear()
    for name in set(sys.modules) - modules:
        package, _, stem = name.rpartition(".")
        if name.startswith(("_vtc_external_", "third_party_vtc")) or (
            package == "pytest_vtc.compressors" and stem not in SHIPPED
        ):
            del sys.modules[name]


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a Python file; without a text, one whose compressor keeps the first tokens."""

    def write_file(path: str, text: str = FIRST_TOKENS, *, name: str = "first", cls: str = "First") -> Path:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text.format(name=name, cls=cls) if text is FIRST_TOKENS else text))
        importlib.invalidate_caches()
        return file

    return write_file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of the shipped one."""
    empty = tmp_path / "compressors"
    empty.mkdir()
    monkeypatch.setattr(discovery, "shipped_folder", lambda: empty)
    monkeypatch.setattr(pytest_vtc.compressors, "__path__", [str(empty)])
    return empty


def refusal(*specs: str) -> str:
    with pytest.raises(SpecError) as caught:
        resolve(list(specs))
    return str(caught.value)


# The folder


def test_the_shipped_compressors_are_known_by_name() -> None:
    assert [name for name in known_compressors() if name in SHIPPED] == SHIPPED
    assert set(SHIPPED) <= set(shipped_names())


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_compressor_says_what_it_is(name: str) -> None:
    cls = known_compressors()[name].cls
    assert cls.description
    assert "\n" not in cls.description
    assert cls.reference
    assert cls().spec == name


def test_names_are_listed_without_importing_torch() -> None:
    code = "import sys; from pytest_vtc.discovery import shipped_names; print(*shipped_names(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"
    assert set(SHIPPED) <= set(done.stdout.split())


def test_a_file_dropped_into_the_folder_is_found(folder: Path, write: Write) -> None:
    write("compressors/dropped_in.py", name="dropped_in")
    (compressor,) = resolve(["dropped_in"])
    assert type(compressor).__module__ == "pytest_vtc.compressors.dropped_in"


def test_a_dropped_in_file_whose_name_begins_with_an_underscore_is_skipped(folder: Path, write: Write) -> None:
    write("compressors/_draft.py", "raise RuntimeError('not to be imported')")
    assert known_compressors() == {}


def test_a_dropped_in_file_without_a_compressor_is_refused(folder: Path, write: Write) -> None:
    file = write("compressors/plain.py", "class Plain:\n    name = 'plain'\n")
    assert f"{file} defines no subclass of pytest_vtc.compression.Compressor" in refusal("plain")


def test_two_dropped_in_files_of_one_name_are_refused_with_both_places(folder: Path, write: Write) -> None:
    one, two = write("compressors/one.py", name="twin"), write("compressors/two.py", name="twin")
    message = refusal("twin")
    assert "two compressors are called 'twin'" in message
    assert str(one) in message
    assert str(two) in message


def test_a_shipped_file_by_path_is_the_shipped_compressor() -> None:
    by_name, by_path = resolve(["fps"])[0], resolve([str(discovery.shipped_folder() / "fps.py")])[0]
    assert type(by_path) is type(by_name)
    assert len(resolve(["fps", str(discovery.shipped_folder() / "fps.py")])) == 1


# Files by path


def test_a_file_is_found_by_its_relative_path(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("mine.py")
    monkeypatch.chdir(tmp_path)
    assert [c.spec for c in resolve(["./mine.py"])] == ["first"]


def test_a_file_gives_every_compressor_in_it(write: Write) -> None:
    file = write("pair.py", dedent(FIRST_TOKENS).format(name="first", cls="First"))
    file.write_text(file.read_text() + dedent(FIRST_TOKENS).format(name="second", cls="Second"))
    assert [c.spec for c in resolve([str(file)])] == ["first", "second"]


@pytest.mark.parametrize("wanted", ["Second", "second"])
def test_one_compressor_of_a_file_is_chosen_by_class_or_name(write: Write, wanted: str) -> None:
    file = write("pair.py", dedent(FIRST_TOKENS).format(name="first", cls="First"))
    file.write_text(file.read_text() + dedent(FIRST_TOKENS).format(name="second", cls="Second"))
    assert [c.spec for c in resolve([f"{file}:{wanted}(skip=2)"])] == ["second(skip=2)"]


def test_a_class_that_a_file_lacks_is_refused_with_what_it_has(write: Write) -> None:
    file = write("mine.py")
    assert f"{file} defines no compressor called 'Frist'; did you mean first?" in refusal(f"{file}:Frist")


@pytest.mark.parametrize("spec", ["{file}", "{file}:First", "{file}(skip=1)", "{file}:first( skip = 1 )"])
def test_a_path_may_hold_brackets_and_blanks(write: Write, spec: str) -> None:
    file = write("my work (2)/first (copy).py")
    assert len(resolve([spec.format(file=file)])) == 1


def test_files_of_one_name_in_two_folders_are_two_modules(write: Write) -> None:
    one, two = write("a/algo.py", name="one"), write("b/algo.py", name="two")
    assert [c.spec for c in resolve([str(one), str(two)])] == ["one", "two"]


def test_compressors_a_file_imports_are_not_its_own(write: Write) -> None:
    file = write(
        "mine.py",
        "from pytest_vtc.compressors.fps import Fps\n" + dedent(FIRST_TOKENS).format(name="first", cls="First"),
    )
    assert [c.spec for c in resolve([str(file)])] == ["first"]


def test_a_missing_file_is_refused_with_the_folder_it_was_sought_in() -> None:
    assert refusal("./no_such.py") == f"no compressor file at no_such.py (looked in {Path.cwd()})"


def test_a_file_without_a_compressor_is_refused(write: Write) -> None:
    assert "defines no subclass of pytest_vtc.compression.Compressor" in refusal(str(write("empty.py", "x = 1\n")))


def test_a_syntax_error_is_shown_with_file_and_line(write: Write) -> None:
    file = write("broken.py", "import torch\n\ndef compress(:\n    pass\n")
    assert refusal(str(file)).startswith(f"{file}:3: SyntaxError: invalid syntax")


def test_an_error_while_a_file_is_read_is_shown_with_file_and_line(write: Write) -> None:
    file = write("broken.py", "import torch\n\nimport no_such_library\n")
    assert refusal(str(file)).startswith(f"{file}:3: ModuleNotFoundError: No module named 'no_such_library'")


def test_the_line_is_that_of_the_file_and_not_of_what_it_reads(write: Write) -> None:
    file = write("broken.py", "import json\n\n\n\njson.loads('{')\n")
    assert refusal(str(file)).startswith(f"{file}:5: JSONDecodeError: ")


def test_a_file_that_ends_the_program_is_refused(write: Write) -> None:
    file = write("script.py", "import sys\nsys.exit(2)\n")
    assert refusal(str(file)).startswith(f"{file}:2: SystemExit: 2")


def test_a_repaired_file_can_be_read_again(write: Write) -> None:
    file = write("mine.py", "syntax error")
    refusal(str(file))
    write("mine.py")
    assert [c.spec for c in resolve([str(file)])] == ["first"]


def test_a_file_that_takes_a_shipped_name_is_refused_with_both_places(write: Write) -> None:
    file = write("mine.py", name="divprune")
    message = refusal(str(file))
    assert "two compressors are called 'divprune'" in message
    assert str(file) in message
    assert "compressors/divprune.py" in message


def test_two_files_of_one_compressor_name_are_refused_whatever_their_parameters(write: Write) -> None:
    one, two = write("a.py"), write("b.py")
    message = refusal(f"{one}(skip=1)", f"{two}(skip=2)")
    assert "two compressors are called 'first'" in message
    assert str(one) in message
    assert str(two) in message


@pytest.mark.parametrize("name", ["", "Best", "my-algo", "2nd", "a b", "über", 7])
def test_a_name_with_other_characters_is_refused(write: Write, name: object) -> None:
    file = write("mine.py", dedent(FIRST_TOKENS).format(name=name, cls="First"))
    expected = f"{file}: First.name is {name!r}; a name is lower case letters, digits and underscores"
    assert refusal(str(file)) == expected


def test_a_compressor_without_a_description_is_refused(write: Write) -> None:
    file = write("mine.py", FIRST_TOKENS.format(name="first", cls="First").replace("description", "remark"))
    assert refusal(str(file)) == f"{file}: First needs a one-line `description`"


def test_needs_that_are_no_set_are_refused(write: Write) -> None:
    file = write("mine.py", FIRST_TOKENS.format(name="first", cls="First").replace("skip: int = 0", "needs = 'text'"))
    assert refusal(str(file)).startswith(f"{file}: First.needs is 'text'; it is a set")


# The seed project's files


def test_a_file_of_the_seed_project_works_with_its_import_line_changed(write: Write) -> None:
    (compressor,) = resolve([str(write("strongest.py", SEED_STYLE))])
    features = torch.tensor([[1.0, 0.0], [0.0, -9.0], [2.0, 2.0], [0.0, 0.5]])
    compressed = run_compressor(compressor, features, 2, {"grid": (2, 2)})
    assert compressor.spec == "strongest"
    assert compressed.rows is not None
    assert compressed.rows.tolist() == [[0.0, -9.0], [2.0, 2.0]]


def test_parameters_that_are_no_fields_are_refused_with_the_way_out(write: Write) -> None:
    file = write("strongest.py", SEED_STYLE)
    assert refusal(f"{file}(power=2.0)").endswith(
        f"strongest has no parameter 'power'; make Strongest a dataclass whose fields are its parameters ({file})"
    )


# Spec strings


def test_parameters_are_read_from_the_spec() -> None:
    first, second = resolve(["divprune_hybrid(alpha=0.3)", " divprune ( start = 'farthest_pair' ) "])
    assert first.parameters == {"alpha": 0.3}
    assert second.spec == "divprune(start='farthest_pair')"


def test_empty_brackets_are_no_parameters() -> None:
    assert resolve(["fps()"])[0].spec == "fps"


def test_the_same_compressor_asked_for_twice_comes_once() -> None:
    specs = [c.spec for c in resolve(["fps", "divprune_hybrid(alpha=0.5)", "fps", "divprune_hybrid"])]
    assert specs == ["fps", "divprune_hybrid"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("divprun", "unknown compressor 'divprun': did you mean divprune or "),
        ("divprune_hybrid(alhpa=0.3)", "divprune_hybrid has no parameter 'alhpa'; did you mean alpha?"),
        ("fps(alpha=1)", "fps has no parameter 'alpha'; it has none"),
        ("divprune_hybrid(alpha=2)", "alpha is 2; it must lie in 0..1"),
        ("divprune(start='middle')", "choose one of 'nearest', 'farthest_pair'"),
        ("divprune_hybrid(0.3)", "every parameter needs its name"),
        ("divprune_hybrid(alpha=0.3, alpha=0.4)", "a parameter is given twice"),
        ("divprune_hybrid(alpha=0.3)(alpha=0.4)", "brackets do not match"),
        ("divprune_hybrid(alpha=0.3", "is not a compressor: write name, name(parameter=value) or ./file.py"),
        ("divprune_hybrid(alpha=half)", "cannot read the parameters"),
        ("divprune_hybrid(alpha={[]: 1})", "cannot read the parameters"),
        ("divprune_hybrid(alpha=)", "cannot read the parameters"),
        ("", "is not a compressor"),
    ],
)
def test_a_spec_that_cannot_be_met_is_refused(spec: str, message: str) -> None:
    assert message in refusal(spec)


def test_an_unknown_name_unlike_any_other_lists_what_there_is() -> None:
    message = refusal("xyz")
    assert message.startswith("unknown compressor 'xyz': known: ")
    assert all(name in message for name in SHIPPED)


# What the store keys by


def test_the_source_hash_changes_with_the_file_and_with_nothing_else(write: Write) -> None:
    one, same, other = write("a.py"), write("b.py", name="first"), write("c.py", name="third")
    hashes = [source_hash(resolve([str(file)])[0]) for file in (one, same, other)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_source_hash_does_not_depend_on_parameters() -> None:
    plain, tuned = resolve(["divprune_hybrid", "divprune_hybrid(alpha=0.3)"])
    assert source_hash(plain) == source_hash(tuned)


@pytest.mark.parametrize("shared", ["compression", "greedy_selection", "token_merging", "attention_merging"])
def test_the_source_hash_covers_what_compressors_share(
    shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (compressor,) = resolve(["fps"])
    before = source_hash(compressor)
    other = tmp_path / f"{shared}.py"
    other.write_text("# another version\n")
    monkeypatch.setattr(sys.modules[f"pytest_vtc.{shared}"], "__file__", str(other))
    assert source_hash(compressor) != before


def test_the_source_hash_covers_base_classes_and_files_imported_from_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "scores_beside.py").write_text("def score(features):\n    return features.norm(dim=1)\n")
    (tmp_path / "derived.py").write_text(
        "from pytest_vtc.compressors.identity import Identity\n"
        "from scores_beside import score\n"
        "class Derived(Identity):\n    name = 'derived'\n    description = 'd'\n    rank = staticmethod(score)\n"
    )
    (compressor,) = resolve([str(tmp_path / "derived.py")])
    before = source_hash(compressor)
    (tmp_path / "scores_beside.py").write_text("def score(features):\n    return -features.norm(dim=1)\n")
    after_sibling = source_hash(compressor)
    assert after_sibling != before
    shipped = Path(sys.modules["pytest_vtc.compressors.identity"].__file__ or "")
    copy = tmp_path / "identity.py"
    copy.write_text(shipped.read_text() + "# another version\n")
    monkeypatch.setattr(sys.modules["pytest_vtc.compressors.identity"], "__file__", str(copy))
    assert source_hash(compressor) != after_sibling


# Installed packages


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, dict[str, str]], None]:
    """Puts a distribution with one entry point and the given files on the import path."""

    def install_distribution(entry_point: str, files: dict[str, str]) -> None:
        site = tmp_path / "site-packages"
        metadata = {
            "third_party_vtc-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: third-party-vtc\nVersion: 1.0\n",
            "third_party_vtc-1.0.dist-info/entry_points.txt": f"[pytest_vtc.compressors]\n{entry_point}\n",
        }
        for path, text in {**metadata, **files}.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(dedent(text))
        monkeypatch.syspath_prepend(site)

    return install_distribution


Install = Callable[[str, dict[str, str]], None]
THIRD_PARTY = FIRST_TOKENS.format(name="third_party", cls="ThirdParty")


@pytest.mark.parametrize("value", ["third_party_vtc:ThirdParty", "third_party_vtc"])
def test_an_installed_class_or_module_is_found(install: Install, value: str) -> None:
    install(f"anything = {value}", {"third_party_vtc.py": THIRD_PARTY})
    (compressor,) = resolve(["third_party(skip=1)"])
    assert compressor.spec == "third_party(skip=1)"
    assert list(known_compressors())[-1] == "third_party"


def test_an_installed_package_may_gather_the_compressors_of_its_modules(install: Install) -> None:
    install(
        "all = third_party_vtc",
        {
            "third_party_vtc/__init__.py": "from third_party_vtc.inner import ThirdParty as ThirdParty\n",
            "third_party_vtc/inner.py": THIRD_PARTY,
        },
    )
    assert known_compressors()["third_party"].source.name == "inner.py"


@pytest.mark.parametrize("value", ["third_party_vtc", "third_party_vtc:Other", "third_party_vtc:number"])
def test_an_entry_point_that_is_no_compressor_is_refused_by_name(install: Install, value: str) -> None:
    install(f"mine = {value}", {"third_party_vtc.py": "class Other: ...\nnumber = 3\n"})
    assert refusal("fps") == (
        f"entry point 'mine' = '{value}' of third-party-vtc defines no subclass of pytest_vtc.compression.Compressor"
    )


def test_an_entry_point_that_cannot_be_imported_is_refused_by_name(install: Install) -> None:
    install("mine = third_party_vtc:Gone", {"third_party_vtc.py": "x = 1\n"})
    assert refusal("fps").startswith("entry point 'mine' = 'third_party_vtc:Gone' of third-party-vtc: AttributeError")


def test_an_installed_compressor_that_takes_a_shipped_name_is_refused(install: Install) -> None:
    install("mine = third_party_vtc", {"third_party_vtc.py": FIRST_TOKENS.format(name="fps", cls="Mine")})
    assert "two compressors are called 'fps'" in refusal("fps")
