"""Every broken cell of the corpus gives exactly its complaints, each at its place."""

from __future__ import annotations

import re

import pytest

from cellwright.runtime.config import ConfigError, check_file, compile_file
from support.config_corpus import BROKEN, copy_corpus, line_of

NAMES = sorted(path.stem for path in BROKEN.glob("*.yaml"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return copy_corpus(tmp_path_factory.mktemp("corpus"))


def test_the_corpus_is_large_and_every_file_has_its_list():
    assert len(NAMES) >= 50
    assert sorted(path.stem for path in BROKEN.glob("*.expected")) == NAMES


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.behaviour(13)
def test_a_broken_cell_gives_all_of_its_complaints_and_no_others(name, corpus):
    path = corpus / f"{name}.yaml"
    report = check_file(path)
    expected = (BROKEN / f"{name}.expected").read_text(encoding="utf-8").splitlines()
    assert [line_of(problem) for problem in report.problems] == expected
    assert report.plan is None
    assert expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.behaviour(13)
def test_every_complaint_is_one_line_with_place_what_why_and_remedy(name, corpus):
    path = corpus / f"{name}.yaml"
    lines = re.split("\r\n|\r|\n", path.read_bytes().decode("utf-8", "replace"))
    with pytest.raises(ConfigError) as raised:
        compile_file(path)
    assert str(raised.value).splitlines() == [str(problem) for problem in raised.value.problems]
    for problem in raised.value.problems:
        assert str(problem).startswith(f"{path}:{problem.line}:{problem.column}: {problem.what}; ")
        assert str(problem).endswith(f"; {problem.why}; {problem.remedy}")
        assert problem.what
        assert problem.why
        assert problem.remedy
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1


def test_a_database_password_never_appears_in_a_complaint(corpus):
    assert "secret" in (corpus / "bad_database.yaml").read_text()
    assert "secret" not in "".join(map(str, check_file(corpus / "bad_database.yaml").problems))


def test_a_lua_error_names_the_line_in_the_template(corpus):
    (problem,) = check_file(corpus / "bad_lua_template.yaml").problems
    assert "bad.lua:5:" in problem.what


def test_an_import_error_names_the_line_in_the_module(corpus):
    first, second, _ = check_file(corpus / "program_does_not_import.yaml").problems
    assert "ZeroDivisionError: division by zero (raises.py:6)" in first.why
    assert "'(' was never closed (unclosed.py:3)" in second.why
