"""The Lua engine: what a template can do, and what it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.tasks.marking.lua.engine import (
    CACHED_TEMPLATES,
    LuaEngine,
    LuaLimits,
    Rendered,
    Template,
    TemplateError,
    check_template,
)

BLADE = Template(
    "blade.lua",
    """
MarkingController = {}

function MarkingController:execute_marking(data)
    local valid = self:validate_product_data(data)
    if not valid then return false, "no serial" end
    return true, {
        symbol = data.serial .. "|" .. data.part_number,
        texts = { data.serial, 42, ("rev %s"):format(data.revision) },
        pattern = "BLADE",
    }
end

function MarkingController:validate_product_data(data)
    if data.serial == nil or data.serial == "" then return false, "serial is missing" end
    return true
end

function MarkingController:get_status()
    return { state = "ready", lines = 3 }
end
""",
)
DATA = {"serial": "S1", "part_number": "B-17", "revision": "C"}

#: Scripts that the engine itself stops; the watchdog's share is in test_lua_process.
HOSTILE = {
    "endless loop": "while true do end",
    "endless goto": "::again:: goto again",
    "recursion without end": "local function f() return f() end return f()",
    "deep recursion": "local function f() return f() + 1 end return f()",
    "loop in a coroutine": "coroutine.wrap(function() while true do end end)()",
    "loop in many coroutines": """
        while true do
            coroutine.resume(coroutine.create(function() while true do end end))
        end""",
    "coroutines within coroutines": """
        local function deeper() coroutine.wrap(deeper)() while true do end end
        while true do pcall(deeper) end""",
    "pcall around a loop": "while true do pcall(function() while true do end end) end",
    "pcall in a loop": "while true do pcall(error, 'x') end",
    "looping xpcall handler": """
        xpcall(function() while true do end end, function() while true do end end)""",
    "xpcall handler that fails": "while true do xpcall(error, error) end",
    "error handler after the budget": """
        local function again() xpcall(function() while true do end end, again) again() end
        again()""",
    "finalizer": "setmetatable({}, { __gc = function() while true do end end })",
    "late finalizer": """
        local mt = {} local t = setmetatable({}, mt)
        mt.__gc = function() while true do end end t = nil
        while true do local garbage = {} end""",
    "close variable": """
        local x <close> = setmetatable({}, { __close = function() while true do end end })""",
    "close variable after the budget": """
        local x <close> = setmetatable({}, { __close = function() while true do end end })
        while true do end""",
    "closed coroutine": """
        local co = coroutine.create(function()
            local x <close> = setmetatable({}, { __close = function() while true do end end })
            coroutine.yield()
        end)
        coroutine.resume(co) coroutine.close(co)""",
    "index metamethod": """
        local t = setmetatable({}, { __index = function(t, k) while true do end end })
        return t.x""",
    "tostring metamethod": """
        tostring(setmetatable({}, { __tostring = function() while true do end end }))""",
    "comparison while sorting": """
        local t = {} for i = 1, 100 do t[i] = i end
        table.sort(t, function(a, b) while true do end end)""",
    "replacement function": "('x'):rep(100):gsub('.', function() while true do end end)",
    "iterator": "for _ in function() return 1 end do end",
    "memory by concatenation": "local s = 'x' while true do s = s .. s end",
    "memory by string.rep": "local s = ('x'):rep(1e9)",
    "memory by string.rep with separator": "local s = ('x'):rep(1e8, ('y'):rep(1e6))",
    "memory by tables": "local t = {} while true do t = { t, {}, {} } end",
    "memory by closures": "local f while true do local g = f f = function() return g end end",
    "memory behind pcall": """
        while true do pcall(function() local s = 'x' while true do s = s .. s end end) end""",
    "text as a huge number of lines": """
        local t = {} for i = 1, 1e5 do t[i] = 'x' end return true, { symbol = 'x', texts = t }""",
    "yield out of the function": "coroutine.yield()",
    "a table as error": "error(setmetatable({}, { __tostring = error }))",
    "reading a global that is gone": "io.open('/etc/passwd')",
    "locked string metatable": "getmetatable('').__index = nil",
    "string method replaced": "getmetatable('').__metatable = nil",
    "a function as symbol": "return true, { symbol = print or function() end }",
    "a table as symbol": "return true, { symbol = {} }",
    "nothing returned": "return true",
    "result is text": "return true, 'S1'",
    "not UTF-8": "return true, { symbol = '\\xff\\xfe' }",
    "longer than a result may be": "return true, { symbol = ('x'):rep(5000) }",
}


def script(body: str) -> Template:
    return Template(
        "hostile.lua",
        f"MarkingController = {{}}\nfunction MarkingController:execute_marking(d)\n{body}\nend",
    )


def test_a_template_renders_symbol_texts_and_pattern() -> None:
    rendered = LuaEngine().execute_marking(BLADE, DATA)
    assert rendered == Rendered("S1|B-17", ("S1", "42", "rev C"), "BLADE")


def test_a_template_may_return_its_controller_instead_of_naming_it() -> None:
    source = BLADE.source.replace("MarkingController", "Blade") + "\nreturn Blade\n"
    source = source.replace("Blade = {}", "local Blade = {}")
    assert LuaEngine().execute_marking(Template("blade.lua", source), DATA).symbol == "S1|B-17"


def test_a_template_may_refuse_with_a_reason() -> None:
    with pytest.raises(TemplateError, match=r"blade.lua refused the data: no serial"):
        LuaEngine().execute_marking(BLADE, {"serial": ""})


def test_validation_gives_the_complaints_of_the_template() -> None:
    engine = LuaEngine()
    assert engine.validate_product_data(BLADE, DATA) == []
    assert engine.validate_product_data(BLADE, {}) == ["serial is missing"]


@pytest.mark.parametrize(
    ("body", "complaints"),
    [
        ("return true", []),
        ("return { valid = true }", []),
        ("return { valid = false, errors = { 'a', 'b' } }", ["a", "b"]),
        ("return { valid = false, message = 'm' }", ["m"]),
        ("return false", ["the data is not valid"]),
        ("return {}", []),
        ("return { 'a', 'b' }", ["a", "b"]),
        ("return { message = 'm' }", ["m"]),
    ],
)
def test_validation_results_may_be_a_flag_or_a_table(body: str, complaints: list[str]) -> None:
    source = (
        f"MarkingController = {{}}\nfunction MarkingController:validate_product_data(d) {body} end"
    )
    assert LuaEngine().validate_product_data(Template("v.lua", source), {}) == complaints


def test_a_template_without_validation_accepts_all_data() -> None:
    assert LuaEngine().validate_product_data(script("return true"), {}) == []


def test_status_is_names_and_texts() -> None:
    assert LuaEngine().get_status(BLADE) == {"state": "ready", "lines": "3"}


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("MarkingController = {", "blade.lua:1:"),
        ("x = 1", "neither returns its controller nor defines MarkingController"),
        ("return 1", "neither returns its controller"),
        ("MarkingController = {}", "no function execute_marking"),
        ("MarkingController = {}\nerror('boom')", "blade.lua:2: boom"),
        ("\x1bLuaT", "blade.lua"),
    ],
)
def test_a_broken_template_says_where(source: str, complaint: str) -> None:
    with pytest.raises(TemplateError, match=complaint):
        LuaEngine().execute_marking(Template("blade.lua", source), DATA)


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_scripts_are_stopped_and_the_engine_serves_again(name: str) -> None:
    engine = LuaEngine(LuaLimits(memory_bytes=8 * 1024 * 1024))
    with pytest.raises(TemplateError):
        engine.execute_marking(script(HOSTILE[name]), {})
    assert engine.execute_marking(BLADE, DATA).symbol == "S1|B-17"


@pytest.mark.parametrize(
    "name",
    [
        *("io", "os", "package", "require", "debug", "load", "loadstring", "loadfile", "dofile"),
        *("collectgarbage", "python"),
    ],
)
def test_nothing_that_reaches_outside_is_there(name: str) -> None:
    body = f"return true, {{ symbol = type({name}) .. type(_G.{name}) .. type(_ENV['{name}']) }}"
    assert LuaEngine().execute_marking(script(body), {}).symbol == "nilnilnil"


def test_string_dump_is_not_there() -> None:
    body = "return true, { symbol = type(string.dump) .. type((''):len().dump or nil) }"
    with pytest.raises(TemplateError):
        LuaEngine().execute_marking(script(body), {})
    body = "return true, { symbol = type(string.dump) .. type((''). dump) }"
    assert LuaEngine().execute_marking(script(body), {}).symbol == "nilnil"


def test_nothing_is_carried_from_one_part_to_the_next() -> None:
    body = """
    counter = (counter or 0) + 1
    string.seen = (string.seen or 0) + 1
    self.n = (self.n or 0) + 1
    return true, { symbol = counter .. string.seen .. self.n }"""
    engine = LuaEngine()
    assert [engine.execute_marking(script(body), {}).symbol for _ in range(3)] == ["111"] * 3


def test_changing_the_data_changes_nothing_outside() -> None:
    data = {"serial": "S1"}
    LuaEngine().execute_marking(script("d.serial = 'X' return true, { symbol = d.serial }"), data)
    assert data == {"serial": "S1"}


def test_the_hundred_last_used_templates_stay_compiled() -> None:
    engine = LuaEngine()
    for number in range(CACHED_TEMPLATES + 5):
        engine.execute_marking(script(f"return true, {{ symbol = '{number}' }}"), {})
    assert engine.cached == CACHED_TEMPLATES


def test_a_template_larger_than_the_limit_is_refused() -> None:
    with pytest.raises(TemplateError, match="larger than"):
        LuaEngine().execute_marking(script("-- " + "x" * 70_000), {})


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.text(max_size=30)))
def test_data_reaches_the_template_unchanged(data: dict[str, str]) -> None:
    body = "return true, { symbol = 'x', texts = { d.a or '', d.b or '', d.c or '' } }"
    rendered = LuaEngine().execute_marking(script(body), data)
    assert rendered.texts == tuple(data.get(name, "") for name in "abc")


@given(st.text(max_size=80))
def test_any_text_as_template_is_refused_or_renders(source: str) -> None:
    engine = LuaEngine()
    with pytest.raises(TemplateError):
        engine.execute_marking(Template("any.lua", source), DATA)


def test_the_check_finds_a_syntax_error_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.lua"
    path.write_text(
        "MarkingController = {}\n\nfunction MarkingController:execute_marking(d\n  end\n"
    )
    [(line, message)] = check_template(path)
    assert line == 4
    assert "expected" in message


def test_the_check_does_not_execute_the_template(tmp_path: Path) -> None:
    path = tmp_path / "loop.lua"
    path.write_text("MarkingController = { execute_marking = 1 }\nwhile true do end\n")
    assert check_template(path) == []


def test_the_check_names_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "blade.lua"
    path.write_text(BLADE.source)
    assert check_template(path) == []
    path.write_text("x = 1")
    assert "execute_marking" in check_template(path)[0][1]
    path.write_bytes(b"-- \xff")
    assert "UTF-8" in check_template(path)[0][1]
    path.write_text("-- " + "x" * 70_000)
    assert "larger" in check_template(path)[0][1]
    assert "cannot read" in check_template(tmp_path / "absent.lua")[0][1]
