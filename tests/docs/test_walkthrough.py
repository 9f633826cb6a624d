"""The walkthrough of pages itself: what is wrong on a page is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.walkthrough import Walkthrough, blocks, commands, matches


def follow(folder: Path, text: str, **swaps: str) -> int:
    """Follow a page with this text in ``folder``."""
    page = folder / "page.md"
    page.write_text(text, encoding="utf-8")
    place = folder / "place"
    place.mkdir(exist_ok=True)
    with Walkthrough(place, swaps) as walkthrough:
        return walkthrough.follow(page)


def test_blocks_are_found_with_language_words_and_line():
    page = "text\n\n```console terminal=2 figures-vary\n$ a\n```\n\n```\nplain\n```\n"
    first, second = blocks(page)
    assert (first.line, first.language, first.terminal, first.body) == (3, "console", "2", "$ a\n")
    assert "figures-vary" in first.words
    assert (second.language, second.terminal, second.body) == ("", "", "plain\n")


def test_commands_go_with_what_they_print_and_may_take_two_lines():
    assert commands("$ a \\\n> b\nx\n$ c\n^C\ny\n") == [("a b", ["x"]), ("c", []), ("^C", ["y"])]


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        (["a  b"], ["a b", ""], True),
        (["a"], ["b"], False),
        (["a"], [], False),
        ([], ["a"], False),
        (["a ... c"], ["a much b c"], True),
        (["a", "..."], ["a", "b", "c"], True),
        (["...", "c"], ["a", "b", "c"], True),
        (["...", "c"], ["a", "b"], False),
        (["12:00:00 RUN"], ["07:15:59 RUN"], True),
        (["a.c"], ["abc"], False),
        (["3 of 4"], ["5 of 6"], False),
    ],
)
def test_lines_match_up_to_white_space_times_and_dots(expected, printed, same):
    assert matches(expected, printed) is same


def test_figures_may_vary_only_where_the_page_says_so():
    assert matches(["3 of 4.5 ms"], ["17 of 3 ms"], figures_vary=True)
    assert not matches(["3 of 4.5 ms"], ["17 of 3 us"], figures_vary=True)


def test_a_page_that_is_right_is_followed_to_its_end(tmp_path: Path):
    text = (
        "```python\n# hello.py\nprint('hello')\n```\n"
        "```diff\n--- hello.py\n # hello.py\n-print('hello')\n+print('hello', 4840)\n```\n"
        "```console\n$ export NAME='a b'\n$ python hello.py\nhello 4840\n$ echo $NAME\na b\n"
        "$ false\n$ echo $?\n1\n```\n"
    )
    assert follow(tmp_path, text, **{"4840": "5950"}) == 5


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```console\n$ echo a\nb\n```\n", r"page\.md:1: `echo a` ended with 0 and printed\na"),
        ("```console\n$ false\n```\n", "ended with 1"),
        ("```console\n$ false\n$ echo $?\n0\n```\n", "`echo \\$\\?` ended with 0 and printed\n1"),
        ("```console terminal=1\n$ false\nup\n```\n", "ended with 1 and printed"),
        ("```console\n^C\n```\n", "nothing runs in terminal"),
        ("```console\necho a\n```\n", "begins with a command"),
        ("```lua\n-- a.lua\nx\n```\n```diff\n--- a.lua\n-y\n+z\n```\n", "a.lua has 0 times"),
    ],
)
def test_a_page_that_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, complaint: str):
    with pytest.raises(AssertionError, match=complaint):
        follow(tmp_path, text)


def test_what_runs_in_a_terminal_is_waited_for_and_ended_by_ctrl_c(tmp_path: Path):
    script = (
        "```python\n# wait.py\nimport signal, time\n"
        "signal.signal(signal.SIGINT, lambda *_: exit(print('bye', flush=True)))\n"
        "print('up', flush=True)\nwhile True:\n    time.sleep(1)\n```\n"
    )
    ends = "```console terminal=1\n$ python wait.py\nup\n```\n```console terminal=1\n^C\nbye\n```\n"
    assert follow(tmp_path, script + ends) == 2
    with pytest.raises(AssertionError, match="printed"):
        follow(tmp_path, script + ends.replace("bye\n", "good night\n"))
