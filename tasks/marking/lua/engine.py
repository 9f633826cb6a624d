"""Runs marking templates in Lua 5.4 inside a sandbox with memory and instruction limits.

Lives in the engine process that `lua_process` starts and kills; `check_template` is also called by
the configuration checker. Untrusted code runs in a coroutine that is thrown away; what no
instruction count can stop (pattern matching in C) is the business of the process watchdog.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from lupa import lua54

MAX_TEMPLATE: Final = 65_536
"""Largest template file, bytes."""
CACHED_TEMPLATES: Final = 100


class LuaLimits(msgspec.Struct, frozen=True):
    """What one operation may use."""

    memory_bytes: int = 16 * 1024 * 1024
    """Largest heap of one template's Lua state."""
    instructions: int = 1_000_000
    """Virtual machine instructions of one operation; about 10 ms."""
    max_texts: int = 98
    """Most readable lines of a result (fields 02 to 99 of a marker)."""
    max_string: int = 4096
    """Longest string of a result, bytes."""


class Template(msgspec.Struct, frozen=True):
    """A template's name (for messages) and its Lua source."""

    name: str
    source: str


class Rendered(msgspec.Struct, frozen=True):
    """What a template made of the product data."""

    symbol: str
    texts: tuple[str, ...] = ()
    pattern: str = ""


class TemplateError(Exception):
    """The template is wrong, refused the data or used too much; says which and where."""


_KERNEL: Final = r"""
local limit, step = ...
local sethook, setupvalue = debug.sethook, debug.setupvalue
local create, resume, status, close = coroutine.create, coroutine.resume, coroutine.status,
    coroutine.close
local yield, running, isyieldable = coroutine.yield, coroutine.running, coroutine.isyieldable
local load, type, next, rawget, rawlen = load, type, next, rawget, rawlen
local pcall, error, tostring, setmetatable = pcall, error, tostring, setmetatable
local pack, unpack = table.pack, table.unpack

-- Methods of strings go through their metatable: nobody may reach and change it.
getmetatable("").__metatable = "locked"

local spent = 0
local BUDGET = "instruction budget of " .. limit .. " spent"
local OVER = BUDGET

-- Once the budget is spent the hook comes at every instruction, so that no pcall gets further.
local function hook()
    spent = spent + step
    if spent >= limit then
        sethook(hook, "", 1)
        error(OVER, 0)
    end
end

local function check()
    if spent >= limit then error(OVER, 0) end
end

-- A coroutine may run up to one step uncounted, so its creation costs one.
local function hooked(co)
    spent = spent + step
    sethook(co, hook, "", step)
    return co
end

-- What a protected call returned. Running out of memory ends the operation: each further try would
-- cost milliseconds and hardly an instruction.
local function passed(got)
    if not got[1] and got[2] == "not enough memory" then
        spent, OVER = limit, got[2]
    end
    check()
    return got
end

local function copy(from)
    local to = {}
    for name, value in next, from do to[name] = value end
    return to
end

string.dump = nil
local libraries = {
    string = string, table = table, math = math, utf8 = utf8,
}
local plain = {
    assert = assert, error = error, ipairs = ipairs, next = next, pairs = pairs,
    pcall = function(f, ...)
        check()
        local got = passed(pack(pcall(f, ...)))
        return unpack(got, 1, got.n)
    end,
    -- A handler called inside the hook's error would run with hooks switched off.
    xpcall = function(f, handler, ...)
        check()
        local got = passed(pack(pcall(f, ...)))
        if got[1] then return unpack(got, 1, got.n) end
        return false, handler(got[2])
    end,
    rawequal = rawequal, rawget = rawget, rawlen = rawlen, rawset = rawset, select = select,
    getmetatable = getmetatable, tonumber = tonumber, tostring = tostring, type = type,
    _VERSION = _VERSION,
    -- Finalizers run outside any coroutine, where no hook counts.
    setmetatable = function(t, mt)
        if type(mt) == "table" and rawget(mt, "__gc") ~= nil then
            error("__gc is not allowed in a template", 2)
        end
        return setmetatable(t, mt)
    end,
}

local function wrapped(f)
    local co = hooked(create(f))
    return function(...)
        check()
        local got = passed(pack(resume(co, ...)))
        if not got[1] then error(got[2], 0) end
        return unpack(got, 2, got.n)
    end
end

local function environment()
    local env = copy(plain)
    for name, library in next, libraries do env[name] = copy(library) end
    env.coroutine = {
        create = function(f) check(); return hooked(create(f)) end,
        wrap = function(f) check(); return wrapped(f) end,
        resume = function(co, ...)
            check()
            local got = passed(pack(resume(co, ...)))
            return unpack(got, 1, got.n)
        end,
        yield = yield, status = status, running = running,
        isyieldable = isyieldable, close = close,
    }
    env._G = env
    return env
end

local function said(value)
    local kind = type(value)
    if kind == "string" then return value end
    if kind == "number" then return tostring(value) end
    return "a " .. kind .. " was thrown as error"
end

-- Numbers become text as Lua prints them; nothing else has a place on metal.
local function text(value, where)
    local kind = type(value)
    if kind == "string" then return value end
    if kind == "number" then return tostring(value) end
    error(where .. " must be text or a number, not " .. kind, 0)
end

-- Compiled once; every operation gives the chunk another environment (its only upvalue).
local chunk
local function controller(source, name)
    local env = environment()
    if not chunk then
        local message
        chunk, message = load(source, name, "t", env)
        if not chunk then error(message, 0) end
    end
    setupvalue(chunk, 1, env)
    local found = chunk()
    if found == nil then found = rawget(env, "MarkingController") end
    if type(found) ~= "table" then
        error("the template neither returns its controller nor defines MarkingController", 0)
    end
    return found
end

local function method(object, name)
    local f = object[name]
    if type(f) ~= "function" then
        error("the template's controller has no function " .. name, 0)
    end
    return f
end

local operations = {}

function operations.execute(object, data, max_texts)
    local success, result = method(object, "execute_marking")(object, data)
    if not success then
        if type(result) == "table" then result = rawget(result, "error") end
        return "refused", said(result == nil and "no reason given" or result)
    end
    if type(result) ~= "table" then
        error("execute_marking returned true and a " .. type(result) .. " instead of a table", 0)
    end
    local texts = rawget(result, "texts")
    local count = 0
    if texts ~= nil then
        if type(texts) ~= "table" then error("result.texts must be a list", 0) end
        count = rawlen(texts)
        if count > max_texts then
            error("result.texts has " .. count .. " lines, at most " .. max_texts .. " fit", 0)
        end
    end
    local out = { text(rawget(result, "symbol"), "result.symbol") }
    local pattern = rawget(result, "pattern")
    out[2] = pattern == nil and "" or text(pattern, "result.pattern")
    for index = 1, count do
        out[index + 2] = text(rawget(texts, index), "result.texts[" .. index .. "]")
    end
    return "done", unpack(out, 1, count + 2)
end

-- A template without the function has no objections.
function operations.validate(object, data)
    if object.validate_product_data == nil then return "done" end
    local verdict, reason = method(object, "validate_product_data")(object, data)
    if type(verdict) == "table" then
        local errors = rawget(verdict, "errors")
        if rawget(verdict, "valid") then return "done" end
        if rawget(verdict, "valid") == nil and errors == nil then
            if rawget(verdict, "message") == nil and rawlen(verdict) == 0 then return "done" end
            errors = verdict
        end
        if type(errors) == "table" then
            local out = {}
            for index = 1, rawlen(errors) do
                out[index] = text(rawget(errors, index), "errors[" .. index .. "]")
            end
            if #out > 0 then return "done", unpack(out) end
        end
        reason = rawget(verdict, "message")
    elseif verdict then
        return "done"
    end
    return "done", said(reason == nil and "the data is not valid" or reason)
end

function operations.status(object)
    local found = method(object, "get_status")(object)
    if type(found) ~= "table" then return "done", "state", said(found) end
    local out = {}
    for key, value in next, found do
        if type(key) == "string" and (type(value) ~= "table" and type(value) ~= "function") then
            out[#out + 1] = key
            out[#out + 1] = tostring(value)
        end
    end
    return "done", unpack(out)
end

for _, name in next, { "io", "os", "package", "require", "debug", "load", "loadstring", "loadfile",
    "dofile", "collectgarbage", "python", "print", "warn" } do
    _G[name] = nil
end

return function(operation, source, name, data, extra)
    spent, OVER = 0, BUDGET
    local co = hooked(create(function()
        return operations[operation](controller(source, name), data, extra)
    end))
    local got = pack(resume(co))
    sethook(co)
    if spent >= limit then return "error", OVER end
    if not got[1] then return "error", said(got[2]) end
    if status(co) ~= "dead" then return "error", "the template yielded out of its function" end
    return unpack(got, 2, got.n)
end, function(source, name)
    local chunk, message = load(source, name, "t", {})
    if not chunk then return message end
    return nil
end
"""


class LuaEngine:
    """Executes templates; one Lua state a template, the 100 last used are kept.

    An operation sees a fresh environment, so nothing leaks to the next part. After a broken
    limit the template's state is thrown away.
    """

    def __init__(self, limits: LuaLimits | None = None) -> None:
        self.limits = limits or LuaLimits()
        self._states: OrderedDict[Template, Any] = OrderedDict()

    def execute_marking(self, template: Template, data: Mapping[str, str]) -> Rendered:
        """``execute_marking(product_data)`` of the template's controller; raises TemplateError.

        The controller is what the template returns, or its global ``MarkingController``.
        """
        texts = self._run("execute", template, data, self.limits.max_texts)
        return Rendered(texts[0], tuple(texts[2:]), texts[1])

    def validate_product_data(self, template: Template, data: Mapping[str, str]) -> list[str]:
        """``validate_product_data(data)``: complaints, none when the data is good.

        The template returns TRUE or FALSE and a sentence, a list of complaints, or a table with
        ``valid``, ``errors`` and ``message``. Without the function all data is good.
        """
        return self._run("validate", template, data)

    def get_status(self, template: Template) -> dict[str, str]:
        """``get_status()`` as names and texts."""
        flat = self._run("status", template, {})
        return dict(zip(flat[::2], flat[1::2], strict=True))

    @property
    def cached(self) -> int:
        """Number of templates with a Lua state at hand."""
        return len(self._states)

    def _run(
        self, operation: str, template: Template, data: Mapping[str, str], extra: int = 0
    ) -> list[str]:
        state = self._state(template)
        try:
            runtime, run, _ = state
            table = runtime.table_from(dict(data))
            found = run(operation, template.source, f"={template.name}", table, extra)
        except (lua54.LuaError, MemoryError) as error:
            self._states.pop(template, None)
            raise TemplateError(
                f"template {template.name} failed: {_first_line(error)} (it may use "
                f"{self.limits.memory_bytes // 1024} KiB of memory); correct the template"
            ) from error
        except UnicodeDecodeError as error:
            raise TemplateError(
                f"template {template.name}: the result is not UTF-8 text: {error}"
            ) from error
        parts = list(found) if isinstance(found, tuple) else [found]
        verdict, *texts = (str(part) for part in parts)
        if verdict == "refused":
            raise TemplateError(f"template {template.name} refused the data: {texts[0]}")
        if verdict == "error":
            self._states.pop(template, None)
            raise TemplateError(f"template {template.name}: {texts[0]}")
        for item in texts:
            if len(item.encode()) > self.limits.max_string:
                raise TemplateError(
                    f"template {template.name}: a text of {len(item.encode())} bytes is longer "
                    f"than {self.limits.max_string}"
                )
        return texts

    def _state(self, template: Template) -> Any:
        state = self._states.get(template)
        if state is None:
            if len(template.source.encode()) > MAX_TEMPLATE:
                raise TemplateError(
                    f"template {template.name} is larger than {MAX_TEMPLATE} bytes; split it"
                )
            state = _new_state(self.limits)
            self._states[template] = state
            if len(self._states) > CACHED_TEMPLATES:
                self._states.popitem(last=False)
        self._states.move_to_end(template)
        return state


class LocalLua(LuaEngine):
    """The engine without a process and without a watchdog on real time, for simulated cells."""

    kills = 0

    def start(self) -> None:
        """Nothing to start."""

    def close(self) -> None:
        """Forget all templates."""
        self._states.clear()


def check_template(path: Path | str) -> list[tuple[int, str]]:
    """Complaints about a template file as (line, message), without executing it.

    Finds unreadable files, text that is not UTF-8, syntax errors (the first) and a missing
    ``execute_marking``. Line is 1 where none is known.
    """
    path = Path(path)
    try:
        source = path.read_text(encoding="utf-8")
    except OSError as error:
        return [(1, f"cannot read {path}: {error.strerror}; check the file's name and rights")]
    except UnicodeDecodeError as error:
        return [(1, f"{path.name} is not UTF-8 text (byte {error.start}); save it as UTF-8")]
    if len(source.encode()) > MAX_TEMPLATE:
        return [(1, f"{path.name} is larger than {MAX_TEMPLATE} bytes; split it")]
    _, _, check = _new_state(LuaLimits())
    message = check(source, f"={path.name}")
    if message is not None:
        match = re.match(rf"{re.escape(path.name)}:(\d+): (.*)", str(message), re.DOTALL)
        return [(int(match[1]), match[2])] if match else [(1, str(message))]
    if not re.search(r"[:.]\s*execute_marking\b|\bexecute_marking\s*=", source):
        return [(1, "defines no function execute_marking(product_data); add it")]
    return []


def _new_state(limits: LuaLimits) -> tuple[Any, Any, Any]:
    """A Lua state and the two functions of the kernel: run an operation, check syntax."""
    runtime = lua54.LuaRuntime(
        register_eval=False,
        register_builtins=False,
        unpack_returned_tuples=True,
        max_memory=limits.memory_bytes,
        attribute_filter=_no_attributes,
    )
    run, check = runtime.execute(_KERNEL, limits.instructions, 1000)
    return runtime, run, check


def _no_attributes(_object: object, _name: object, _setting: bool) -> str:
    """No Python object is ever handed to Lua; should one get there, it has no attributes."""
    raise AttributeError("templates have no access to Python objects")


def _first_line(error: BaseException) -> str:
    text = str(error).splitlines()
    return text[0] if text else type(error).__name__
