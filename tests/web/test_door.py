"""What a client of the REST interface sees: statuses, headers, bodies."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from support.notes import SECRET, Serving

NOTES = "/api/v1/notes"
NOTE = {"title": "blade", "quantity": 5}
NOT_GIVEN = "0" * 32


def problem(answer: httpx.Response, status: int, code: str = "") -> dict[str, object]:
    """The body of a refusal, checked for what every refusal has."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error", "code", "details", "traceId"}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-trace-id"] == body["traceId"]
    assert re.fullmatch("[0-9a-f]{32}", body["traceId"])
    assert not code or body["code"] == code, body
    return body


def test_what_is_made_is_shown_at_its_location_with_its_version(ada: httpx.Client) -> None:
    made = ada.post(NOTES, json={**NOTE, "priority": "High", "dueDate": "2026-12-31"})
    assert made.status_code == 201
    assert made.headers["etag"] == '"1"'
    assert made.headers["location"] == f"{NOTES}/{made.json()['id']}"
    assert made.json() == {
        "id": made.json()["id"], "title": "blade", "quantity": 5, "priority": "High",
        "dueDate": "2026-12-31", "createdAt": made.json()["createdAt"], "closed": False,
        "version": 1,
    }  # fmt: skip
    assert made.json()["createdAt"].endswith("Z")
    shown = ada.get(made.headers["location"])
    assert (shown.status_code, shown.json()) == (200, made.json())


def test_a_list_is_an_array_with_the_number_of_all_rows(ada: httpx.Client) -> None:
    for _ in range(3):
        ada.post(NOTES, json={**NOTE, "title": "counted"})
    answer = ada.get(NOTES, params={"title": "counted", "limit": 2, "page": 2})
    assert answer.headers["x-total-count"] == "3"
    assert [note["title"] for note in answer.json()] == ["counted"]


def test_what_has_nothing_to_tell_is_204_without_a_body(ada: httpx.Client) -> None:
    name = ada.post(NOTES, json=NOTE).json()["id"]
    answer = ada.delete(f"{NOTES}/{name}")
    assert (answer.status_code, answer.content) == (204, b"")
    problem(ada.get(f"{NOTES}/{name}"), 404, "unknown_entity")


def test_head_is_get_without_a_body_and_options_tells_the_methods(ada: httpx.Client) -> None:
    head = ada.head(NOTES)
    assert (head.status_code, head.content) == (200, b"")
    assert "x-total-count" in head.headers
    options = ada.options(NOTES)
    assert options.status_code == 204
    assert {"GET", "POST"} <= set(options.headers["allow"].split(", "))
    assert "access-control-allow-origin" not in options.headers


def test_another_method_is_405_and_names_those_that_are(ada: httpx.Client) -> None:
    answer = ada.patch(NOTES, json={})
    problem(answer, 405, "method_not_allowed")
    assert {"GET", "POST"} <= set(answer.headers["allow"].split(", "))
    problem(ada.delete("/health"), 405)


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        f"{NOTES}/x/y/z",
        f"{NOTES}/a%2Fb",
        f"{NOTES}/'\";--",
        f"{NOTES}/%2e%2e",
        f"{NOTES}/%ff",
    ],
)
def test_an_unknown_address_is_404_as_json(ada: httpx.Client, path: str) -> None:
    problem(ada.get(path), 404)


def test_a_request_of_nobody_is_401_before_its_body_is_looked_at(nobody: httpx.Client) -> None:
    for answer in (
        nobody.get(NOTES),
        nobody.post(NOTES, content=b"{nonsense"),
        nobody.get(NOTES, headers={"Authorization": "Bearer other"}),
        nobody.get(NOTES, headers={"Authorization": "Basic YTpi"}),
        nobody.get(NOTES, headers={"Authorization": "Bearer"}),
        nobody.get(NOTES, headers={"Authorization": "Bearer " + "x" * 9000}),
        nobody.get(NOTES, headers=[("Authorization", "Bearer ada")] * 2),
    ):
        problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_who_may_not_is_403_and_hears_nothing_about_the_request(nobody: httpx.Client) -> None:
    rob = {"Authorization": "Bearer rob"}
    for body in ({"title": "x", "quantity": 1}, {"wrong": 1}):
        refused = problem(nobody.post(NOTES, json=body, headers=rob), 403, "forbidden")
        assert str(refused["error"]).startswith("Forbidden: ")
        assert refused["details"] == []
    problem(nobody.get("/rule", headers=rob), 403)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer expired"}])
def test_an_action_for_all_takes_no_token_and_minds_none(
    nobody: httpx.Client, headers: dict[str, str]
) -> None:
    answer = nobody.post("/auth/login", json={"username": "x"}, headers=headers)
    assert (answer.status_code, answer.json()["id"]) == (200, "anonymous")


def test_answers_to_nobody_are_kept_for_nobody(nobody: httpx.Client) -> None:
    key = {"Idempotency-Key": "k"}
    for name in ("x", "y"):
        answer = nobody.post("/auth/login", json={"username": name}, headers=key)
        assert (answer.status_code, answer.json()["title"]) == (200, name)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "no body"),
        (b"{", "not JSON"),
        (b'{"title": "a", "quantity": NaN}', "not JSON"),
        (b'{"title": "a", "quantity": Infinity}', "not JSON"),
        (b'{"title": "a", "title": "b", "quantity": 1}', "twice"),
        (b'{"title": "\xff", "quantity": 1}', "UTF-8"),
        (b'\xef\xbb\xbf{"title": "a", "quantity": 1}', "not JSON"),
        (b"[" * 100_000, "deep"),
        (b'{"a":' * 100_000, "deep"),
        (b'{"title": ' + b"[" * 900 + b"]" * 900 + b"}", ""),
        (b'{"title": "a\0b", "quantity": 1}', "not JSON"),
    ],
)
def test_what_is_no_json_is_400(ada: httpx.Client, body: bytes, says: str) -> None:
    answer = ada.post(NOTES, content=body, headers={"Content-Type": "application/json"})
    if says:
        assert says in str(problem(answer, 400, "not_json")["error"])
    else:
        assert answer.status_code in (400, 422)


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (b"[]", "", "the body must be an object"),
        (b"{}", "title", "is missing"),
        (b'{"title": 5, "quantity": 1}', "title", "must be a text, is a whole number"),
        (b'{"title": "a", "quantity": true}', "quantity",
         "must be a whole number or a number, is true or false"),
        (b'{"title": "a", "quantity": 1e400}', "quantity",
         "is a number of a size that cannot be kept"),
        (b'{"title": "a", "quantity": "NaN"}', "quantity",
         "is a number of a size that cannot be kept"),
        (b'{"title": "a", "quantity": "1e999999999"}', "quantity",
         "is a number of a size that cannot be kept"),
        (b'{"title": "a", "quantity": "1_0"}', "quantity", "must be a number such as 12.5"),
        (b'{"title": "a", "quantity": " 1 "}', "quantity", "must be a number such as 12.5"),
        ('{"title": "a", "quantity": "\u0663"}'.encode(), "quantity",
         "must be a number such as 12.5"),
        (b'{"title": "a", "quantity": 99999999999999999999}', "quantity",
         "is a number of a size that cannot be kept"),
        (b'{"title": "\\ud800", "quantity": 1}', "title", "holds half of a surrogate pair"),
        (b'{"title": "a\\u0000b", "quantity": 1}', "title",
         "holds a NUL character or half of a surrogate pair"),
        (b'{"title": "a", "quantity": 1, "dueDate": "2026-02-30"}', "dueDate",
         "must be a date such as 2026-01-31 that exists"),
        (b'{"title": "a", "quantity": 1, "priority": "high"}', "priority",
         "must be one of High, Low"),
        (b'{"title": "a", "quantity": 1, "colour": 1}', "colour",
         "is not a field of this request"),
        (b'{"title": "a", "quantity": 1, "version": "10"}', "version",
         "must be a whole number or null, is a text"),
        (b'{"title": "' + b"x" * 100_000 + b'", "quantity": 1}', "title",
         "has 100000 characters, at most 10000"),
    ],
)  # fmt: skip
def test_json_that_says_what_it_must_not_is_422_and_names_the_field(
    ada: httpx.Client, body: bytes, field: str, message: str
) -> None:
    answer = ada.post(NOTES, content=body, headers={"Content-Type": "application/json"})
    details = problem(answer, 422, "invalid_request")["details"]
    assert {"field": field, "message": message} in details  # type: ignore[operator]


def test_all_fields_that_are_wrong_are_named_at_once(ada: httpx.Client) -> None:
    details = problem(ada.post(NOTES, json={"quantity": [], "priority": 1, "x": 2}), 422)["details"]
    assert {d["field"] for d in details} == {"title", "quantity", "priority", "x"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "application/json; charset=latin-1", "", "json"]
)
def test_a_body_of_another_kind_is_415(ada: httpx.Client, kind: str) -> None:
    problem(ada.post(NOTES, content=b"{}", headers={"Content-Type": kind}), 415)


def test_json_with_its_charset_is_taken(ada: httpx.Client) -> None:
    kind = {"Content-Type": "Application/JSON; charset=UTF-8"}
    body = '{"title": "ä€😀", "quantity": "2.5"}'.encode()
    answer = ada.post(NOTES, content=body, headers=kind)
    assert (answer.status_code, answer.json()["title"]) == (201, "ä€😀")
    assert answer.json()["quantity"] == "2.5"


@pytest.mark.parametrize(
    "query",
    ["page=0", "page=-1", "limit=0", "limit=1001", "limit=1000000000", "page=abc", "page=1.0",
     "limit=1e2", "page=", "page=99999999999999999999", "page=1&page=2"],
)  # fmt: skip
def test_a_page_that_is_none_is_400(ada: httpx.Client, query: str) -> None:
    problem(ada.get(f"{NOTES}?{query}"), 400, "invalid_page")


def test_a_page_behind_the_end_is_empty(ada: httpx.Client) -> None:
    answer = ada.get(NOTES, params={"page": 10**9, "limit": 1000})
    assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize("query", ["colour=1", "number=null", "number=1.5", "title=a&title=b"])
def test_a_parameter_that_is_unknown_or_wrong_is_422(ada: httpx.Client, query: str) -> None:
    problem(ada.get(f"{NOTES}?{query}"), 422, "invalid_request")


@pytest.mark.parametrize("query", ["%ff=1", "title=%ff", "title"])
def test_a_query_that_cannot_be_read_is_400(ada: httpx.Client, query: str) -> None:
    problem(ada.get(f"{NOTES}?{query}"), 400)


def test_a_stale_version_is_409_by_header_and_by_body(ada: httpx.Client) -> None:
    name = ada.post(NOTES, json=NOTE).json()["id"]
    path = f"{NOTES}/{name}"
    changed = ada.put(path, json={"title": "b"}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    problem(ada.put(path, json={"title": "c"}, headers={"If-Match": '"1"'}), 409, "stale_version")
    problem(ada.put(path, json={"title": "c", "version": 1}), 409, "stale_version")
    both = {"title": "c", "version": 2}
    assert ada.put(path, json=both, headers={"If-Match": 'W/"2"'}).status_code == 200
    problem(ada.put(path, json=both, headers={"If-Match": '"3"'}), 422)
    problem(ada.put(path, json={"title": "d"}, headers={"If-Match": "3"}), 422)
    assert ada.put(path, json={"title": "d"}, headers={"If-Match": "*"}).status_code == 200


def test_a_state_that_does_not_allow_it_is_409(ada: httpx.Client) -> None:
    name = ada.post(NOTES, json=NOTE).json()["id"]
    assert ada.post(f"{NOTES}/{name}/close").status_code == 200
    problem(ada.post(f"{NOTES}/{name}/close"), 409, "invalid_state")


def test_the_same_key_gives_the_same_answer_and_the_request_is_done_once(
    ada: httpx.Client, server: Serving
) -> None:
    before = server.notes.created
    key = {"Idempotency-Key": "k-1"}
    first, second = (ada.post(NOTES, json=NOTE, headers=key) for _ in range(2))
    assert first.json() == second.json()
    assert second.status_code == 201
    assert second.headers["location"] == first.headers["location"]
    assert "idempotent-replayed" in second.headers
    assert server.notes.created == before + 1
    problem(ada.post(NOTES, json={**NOTE, "title": "x"}, headers=key), 422, "key_reused")


def test_twenty_at_once_with_one_key_are_one(ada: httpx.Client, server: Serving) -> None:
    before = server.notes.created
    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(
                lambda _: ada.post(NOTES, json=NOTE, headers={"Idempotency-Key": "k-20"}), range(20)
            )
        )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert server.notes.created == before + 1


def test_twenty_writers_of_one_version_have_one_winner(ada: httpx.Client) -> None:
    path = f"{NOTES}/{ada.post(NOTES, json=NOTE).json()['id']}"
    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(
                lambda n: ada.put(path, json={"title": str(n)}, headers={"If-Match": '"1"'}),
                range(20),
            )
        )
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 19]


def test_the_trace_of_the_caller_is_taken_over(ada: httpx.Client) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    parent = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    assert ada.get(NOTES, headers=parent).headers["x-trace-id"] == trace
    assert problem(ada.get("/x", headers=parent), 404)["traceId"] == trace
    for wrong in ("00-zz", f"00-{NOT_GIVEN}-00f067aa0ba902b7-01"):
        own = ada.get(NOTES, headers={"traceparent": wrong}).headers["x-trace-id"]
        assert own not in (NOT_GIVEN, trace)


def test_an_error_of_ours_tells_nothing_of_the_inside(ada: httpx.Client) -> None:
    answer = ada.get("/fail")
    problem(answer, 500, "internal")
    assert SECRET not in answer.text
    assert "Runtime" not in answer.text


def test_a_store_that_is_away_is_503_with_a_time_and_without_its_address(ada: httpx.Client) -> None:
    answer = ada.get("/away")
    problem(answer, 503, "store_busy")
    assert answer.headers["retry-after"] == "1"
    assert SECRET not in answer.text


def test_no_answer_is_kept_by_caches_and_none_is_guessed_at(ada: httpx.Client) -> None:
    headers = ada.get(NOTES).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers
    assert "strict-transport-security" not in headers
