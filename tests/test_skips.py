"""A test that does not run is told of, and fails where `--no-unexpected-skips` is given."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests import needs, skips

pytest_plugins = ["pytester"]

TESTS = Path(__file__).parent
FILES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(TESTS.rglob("*.py"))}

LEFT_OUT = """
import pytest

def test_that_runs(): pass

@pytest.mark.skip(reason="no such moon today")
def test_with_a_mark(): pass

def test_from_within(): pytest.skip("too late in the day")

@pytest.fixture
def missing(): pytest.skip("nothing to set up")
def test_with_a_fixture(missing): pass

@pytest.mark.xfail(reason="it is broken")
def test_expected_to_fail(): assert False

@pytest.mark.xfail(reason="it was broken", strict=False)
def test_expected_to_fail_that_passes(): pass

@pytest.mark.needs("tshark")
def test_with_a_need(): pass
"""
WAYS = (
    "test_with_a_mark",
    "test_from_within",
    "test_with_a_fixture",
    "test_expected_to_fail",
    "test_expected_to_fail_that_passes",
    "test_with_a_need",
)


def result(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    pytester.makeini("[pytest]\nempty_parameter_set_mark = fail_at_collect\n")
    return pytester.runpytest_inprocess("-p", "tests.skips", "-p", "no:xdist", *options)


@pytest.fixture(autouse=True)
def no_tshark(monkeypatch: pytest.MonkeyPatch) -> None:
    need = needs.NEEDS["tshark"]._replace(lacking=lambda: "tshark is not installed")
    monkeypatch.setitem(needs.NEEDS, "tshark", need)
    monkeypatch.setattr(needs, "lacking", lambda name: needs.NEEDS[name].lacking())


def test_the_end_of_a_run_says_what_did_not_run_and_how_to_get_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_ways=LEFT_OUT)
    ended = result(pytester)
    assert ended.ret == 0
    ended.stdout.fnmatch_lines(
        [
            "*5 tests did not run*",
            "1 × no such moon today",
            "    test_ways.py::test_with_a_mark",
            "1 × tshark is not installed",
            "    To run them: Debian and Ubuntu: apt-get install tshark; macOS: brew install wireshark.",
            "    test_ways.py::test_with_a_need",
            "1 × it is broken",
        ]
    )


def test_a_run_of_all_tests_says_nothing_of_skips(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_that_runs(): pass")
    ended = result(pytester)
    assert ended.ret == 0
    ended.stdout.no_fnmatch_line("*did not run*")


def test_each_way_not_to_run_fails_where_it_is_not_listed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_ways=LEFT_OUT)
    ended = result(pytester, skips.OPTION)
    assert ended.ret == 1
    ended.assert_outcomes(passed=1, failed=3, errors=3)
    printed = ended.stdout.str()
    for way in WAYS:
        assert f"test_ways.py::{way} was" in printed
    for reason in ("no such moon", "too late in the day", "nothing to set up", "it is broken", "tshark is not"):
        assert reason in printed


def test_a_listed_test_may_be_skipped(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    file = pytester.path / "skips.toml"
    file.write_text("[skip]\n" + "".join(f'"test_ways.py::{way}" = "a reason"\n' for way in WAYS[1:]))
    monkeypatch.setattr(skips, "FILE", file)
    pytester.makepyfile(test_ways=LEFT_OUT)
    ended = result(pytester, skips.OPTION)
    assert ended.ret == 1
    ended.assert_outcomes(passed=1, skipped=3, errors=1, xfailed=1, xpassed=1)


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one process", "a worker"])
def test_a_module_that_skips_itself_fails(pytester: pytest.Pytester, workers: tuple[str, ...]) -> None:
    text = "import pytest\npytest.skip('not today', allow_module_level=True)\ndef test_a(): pass\n"
    pytester.makepyfile(test_module=text)
    ended = pytester.runpytest_inprocess("-p", "tests.skips", skips.OPTION, *workers)
    assert ended.ret != 0
    assert "test_module.py was skipped: not today" in ended.stdout.str()


def test_a_test_over_nothing_fails(pytester: pytest.Pytester) -> None:
    """The project's own settings say so: see `empty_parameter_set_mark` in pyproject.toml."""
    pytester.makepyfile("import pytest\n@pytest.mark.parametrize('n', [])\ndef test_a(n): pass\n")
    assert result(pytester).ret != 0


def test_a_need_that_nothing_names_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.needs('tshrak')\ndef test_a(): pass\n")
    result(pytester).assert_outcomes(errors=1)


# ----------------------------------------------------------------------------------------- this project's tests


def name_of(path: Path) -> str:
    return str(path.relative_to(TESTS.parent))


def test_every_listed_test_exists() -> None:
    """An entry of a test that is gone would hide the next one of that name."""
    for id in skips.expected(skips.FILE):
        file, _, rest = id.partition("::")
        function = rest.partition("[")[0]
        names = {node.name for node in ast.walk(FILES[TESTS.parent / file]) if isinstance(node, FUNCTION)}
        assert function in names, id


FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
SKIPPING = {"skip", "skipif", "importorskip", "xfail", "skipTest", "SkipTest", "skipIf", "skipUnless"}


def test_tests_are_skipped_for_a_need_and_in_no_other_way() -> None:
    """So that each skip can say how to get what is missing, and none depends on what a test finds by itself."""
    found = [
        f"{name_of(path)}:{node.lineno}: {ast.unparse(node)}"
        for path, tree in FILES.items()
        if path != Path(skips.__file__)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in SKIPPING
        and ast.unparse(node.value) in ("pytest", "pytest.mark", "unittest", "self")
    ]
    assert found == []


def test_pytest_finds_each_function_that_is_called_a_test() -> None:
    """A module of another name, a nested function or a second one of the same name would not be run."""
    lost: list[str] = []
    for path, tree in FILES.items():
        seen: set[str] = set()
        collected = tree.body if path.name.startswith("test_") else []
        for node in ast.walk(tree):
            if isinstance(node, FUNCTION) and node.name.startswith("test_"):
                if node not in collected or node.name in seen:
                    lost.append(f"{name_of(path)}:{node.lineno}: {node.name}")
                seen.add(node.name)
    assert lost == []


def test_every_need_is_one_of_a_test_or_of_a_conformance_case() -> None:
    from conformance.case import load

    wanted = {tool for case in load().values() for tool in case.tools}
    for tree in FILES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.needs":
                wanted |= {str(ast.literal_eval(argument)) for argument in node.args}
    assert wanted == needs.NEEDS.keys()


def test_packages_are_named_for_what_debian_has() -> None:
    """CI installs them."""
    assert all(need.debian for need in needs.NEEDS.values() if "apt-get install" in need.get)
    for need in needs.NEEDS.values():
        assert all(package in need.get for package in need.debian)
