"""The pages: what they show, that looking changes nothing, and who may acknowledge from where."""

import html
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import yarl

from incident_desk import pages
from incident_desk.pages import lasted
from tests.incident_desk.made import NOW, Running, alert, notification, running

FORM = {"incident": "1", "by": "Ada Lovelace"}
GROUP = "/acknowledge?alertname=AgentDown"


async def opened(desk: Running, *names: str) -> None:
    desk.world.held |= dict.fromkeys(names, "active")
    assert await desk.send(notification(*(alert(name) for name in names))) == 200
    await desk.after(10)


def acknowledged(desk: Running) -> list[str]:
    return [each.acknowledged_by for each in desk.desk.store.newest(10) if each.acknowledged is not None]


async def test_the_first_page_shows_what_is_open_and_who_comes_next(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        assert "No open incidents" in await desk.get("/")
        await opened(desk, "planner-1")
        page = await desk.get("/")
        for wanted in ("1 open incident", "planner-1 is down", "slack", "Next: lead", "in 14 min 50 s", "10 s ago"):
            assert wanted in page
        await desk.after(3600)
        assert "Escalated: lead" in await desk.get("/")


async def test_looking_at_a_link_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await opened(desk, "planner-1")
        for path in (GROUP, "/acknowledge?incident=1&by=Bot", "/", "/history", "/incidents"):
            await desk.get(path)
            async with desk.session.head(desk.url + path) as answer:
                assert answer.status == 200
        assert acknowledged(desk) == []


async def test_a_form_takes_on_all_of_a_group_and_leads_back(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await opened(desk, "planner-1", "planner-2")
        assert "Acknowledge all 2" in await desk.get(GROUP)
        form: Any = [("incident", "1"), ("incident", "2"), ("by", "  Ada\n Lovelace ")]
        headers = {"Origin": desk.url, "Sec-Fetch-Site": "same-origin"}
        async with desk.session.post(desk.url + GROUP, data=form, headers=headers, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, GROUP)
        assert acknowledged(desk) == ["Ada Lovelace"] * 2
        assert "Somebody is on it" in await desk.get(GROUP)


async def test_more_than_one_form_may_hold_are_taken_on_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MAX_ACKNOWLEDGED", 2)
    async with running(tmp_path) as desk:
        await opened(desk, "planner-1", "planner-2", "planner-3")
        for button, count in (("Acknowledge the first 2<", 2), ("Acknowledge<", 3)):
            page = await desk.get(GROUP)
            assert button in page
            form: Any = [("by", "Ada"), *(("incident", each) for each in re.findall(r'value="(\d+)"', page))]
            assert (await desk.post(GROUP, form))[0] == 303
            assert len(acknowledged(desk)) == count


async def test_a_link_with_odd_characters_leads_back_to_itself(tmp_path: Path) -> None:
    agent = "a b&c=d\r\nX-Evil: 1"
    link = f"/acknowledge?{urlencode({'agent': agent})}"
    async with running(tmp_path) as desk:
        assert await desk.send(notification(alert(agent=agent))) == 200
        [action] = re.findall('action="([^"]+)"', await desk.get(link))
        target = yarl.URL(desk.url + html.unescape(action), encoded=True)
        async with desk.session.post(target, data=FORM, headers={"Origin": desk.url}, allow_redirects=False) as answer:
            assert answer.status == 303
            assert "X-Evil" not in answer.headers
            back = answer.headers["Location"]
        assert dict(parse_qsl(urlsplit(back).query)) == {"agent": agent}
        assert "Somebody is on it" in await desk.get(back)


async def test_only_what_was_shown_is_taken_on(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await opened(desk, "planner-1")
        await opened(desk, "planner-2")
        assert (await desk.post(GROUP, FORM))[0] == 303
        assert [each.fingerprint for each in desk.desk.store.open() if each.acknowledged] == ["planner-1"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "not an origin"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Host": "evil.example:9822"},
        {"Host": "evil.example", "Origin": "http://evil.example", "Sec_Fetch_Site": "same-origin"},
    ],
)
async def test_another_website_cannot_acknowledge(tmp_path: Path, headers: dict[str, str]) -> None:
    async with running(tmp_path) as desk:
        await opened(desk, "planner-1")
        assert (await desk.post(GROUP, FORM, **headers))[0] == 403
        assert acknowledged(desk) == []


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"incident": "1"},
        {"by": "Ada"},
        {"incident": "1", "by": " \n"},
        {"incident": "one", "by": "Ada"},
        {"incident": "9" * 30, "by": "Ada"},
    ],
)
async def test_a_form_without_name_or_incident_is_refused(tmp_path: Path, form: dict[str, str]) -> None:
    async with running(tmp_path) as desk:
        await opened(desk, "planner-1")
        assert (await desk.post(GROUP, form))[0] == 400
        assert acknowledged(desk) == []


async def test_whoever_is_elsewhere_may_look_and_is_told_why_not_more(tmp_path: Path) -> None:
    async with running(tmp_path, acknowledge={"everybody_from": "10.0.0.0/8"}) as desk:
        await opened(desk, "planner-1")
        page = await desk.get(GROUP)
        assert "127.0.0.1 may only look" in page
        assert "<form" not in page
        assert (await desk.post(GROUP, FORM))[0] == 403


@pytest.mark.parametrize(
    "header",
    ["Forwarded", "X-Forwarded-For", "Via", "X-Real-IP", "X-Forwarded-Host", "X-Forwarded-Proto", "x-forwarded-server"],
)
async def test_what_a_proxy_passed_on_is_not_from_this_machine(tmp_path: Path, header: str) -> None:
    async with running(tmp_path) as desk:
        await opened(desk, "planner-1")
        status, text = await desk.post(GROUP, FORM, **{header: "203.0.113.7"})
        assert status == 403
        assert "trusted_proxies" in text


async def test_a_trusted_proxy_says_who_it_is_and_no_form_can(tmp_path: Path) -> None:
    proxy = {"identity": {"trusted_proxies": ["127.0.0.1/32"]}}
    async with running(tmp_path, acknowledge=proxy) as desk:
        await opened(desk, "planner-1")
        assert (await desk.post(GROUP, FORM))[0] == 401
        assert (await desk.post(GROUP, FORM, X_Auth_Subject="grace", X_Forwarded_For="203.0.113.7"))[0] == 303
        assert acknowledged(desk) == ["grace"]


async def test_a_proxy_may_call_the_desk_by_another_name_but_no_other_website_comes_through_it(tmp_path: Path) -> None:
    proxy = {"identity": {"trusted_proxies": ["127.0.0.1/32"]}}
    known = {"X_Auth_Subject": "grace", "Host": "incident-desk:9822"}
    async with running(tmp_path, acknowledge=proxy, public_url="https://desk.example") as desk:
        await opened(desk, "planner-1")
        assert (await desk.post(GROUP, FORM, Origin="https://evil.example", **known))[0] == 403
        assert acknowledged(desk) == []
        assert (await desk.post(GROUP, FORM, Origin="https://desk.example", **known))[0] == 303


async def test_a_program_needs_the_token(tmp_path: Path) -> None:
    async with running(tmp_path, acknowledge={"everybody_from": [], "token_file": "acknowledge_token"}) as desk:
        await opened(desk, "planner-1")
        for wrong in ("", "wrong", "made-up-token", "märz"):
            assert (await desk.post("/acknowledge", FORM, Authorization=f"Bearer {wrong}"))[0] == 401
        assert (await desk.post("/acknowledge", FORM))[0] == 403
        status, text = await desk.post("/acknowledge", FORM, Authorization="Bearer for programs")
        assert (status, json.loads(text)) == (200, {"acknowledged": [1], "problems": []})


async def test_a_person_at_this_machine_may_use_curl_and_is_told_what_came_of_it(tmp_path: Path) -> None:
    async def curl(*chosen: str) -> tuple[int, dict[str, Any]]:
        form = [("by", "Ada"), *(("incident", each) for each in chosen)]
        async with desk.session.post(f"{desk.url}/acknowledge", data=form) as answer:
            return answer.status, await answer.json()

    async with running(tmp_path) as desk:
        await opened(desk, "planner-1", "planner-2")
        await opened(desk, "planner-3")
        await desk.send(notification(alert("planner-2", ended=NOW + 15)))
        unknown = "There is no incident 999."
        taken = "Incident 1 (AgentDown, planner-1): Ada acknowledged it at 2027-01-15 08:00:20 UTC."
        over = "Incident 2 (AgentDown, planner-2) ended at 2027-01-15 08:00:15 UTC; nobody had acknowledged it."
        assert await curl("1") == (200, {"acknowledged": [1], "problems": []})
        assert await curl("1") == (409, {"acknowledged": [], "problems": [taken]})
        assert await curl("2") == (409, {"acknowledged": [], "problems": [over]})
        assert await curl("999") == (404, {"acknowledged": [], "problems": [unknown]})
        assert await curl("1", "3", "999", "3") == (200, {"acknowledged": [3], "problems": [taken, unknown]})
        assert len(acknowledged(desk)) == 2


async def test_a_form_that_comes_too_late_is_shown_who_was_first(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await opened(desk, "planner-1")
        assert (await desk.post(GROUP, FORM))[0] == 303
        status, page = await desk.post(GROUP, {**FORM, "by": "Grace"})
        assert status == 409
        assert "Ada Lovelace acknowledged it at 2027-01-15 08:00:10 UTC." in page
        assert "Somebody is on it" in page
        status, page = await desk.post("/acknowledge?incident=7", {**FORM, "incident": "7"})
        assert (status, "There is no incident 7." in page) == (404, True)


async def test_no_token_counts_where_none_is_configured(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await opened(desk, "planner-1")
        assert (await desk.post("/acknowledge", FORM, Authorization="Bearer x"))[0] == 401


async def test_the_history_tells_times_with_how_many_they_speak_of(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        assert "Nobody has been told of anything yet" in await desk.get("/history")
        await opened(desk, "planner-1", "planner-2")
        desk.desk.acknowledge([1], "Ada")
        await desk.send(notification(alert("planner-1", ended=NOW + 130)))
        page = await desk.get("/history")
        for wanted in (
            "told slack 0 s after the condition was first seen",
            "acknowledged by Ada after 10 s",
            "resolved after 10 s, at 2027-01-15 08:00:10 UTC",
            "2 incidents in the last 30 days, 1 still open",
            "of 2",
            "of 1",
        ):
            assert wanted in page


async def test_the_history_is_in_the_order_of_the_times_that_it_shows(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        for name, started in (("planner-1", NOW - 60), ("planner-2", NOW - 300), ("planner-3", NOW)):
            assert await desk.send(notification(alert(name, started=started))) == 200
        page = await desk.get("/history")
        assert re.findall(r"planner-\d", page) == ["planner-3", "planner-1", "planner-2"]


async def test_what_came_back_says_how_long_it_lasted_and_how_long_it_fired(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await opened(desk, "planner-1")
        for number, (start, end) in enumerate(((NOW, NOW + 265), (NOW + 720, NOW + 930))):
            desk.world.now = start + 10
            await desk.send(notification(alert("planner-1", started=start)))
            if number:
                page = await desk.get("/")
                assert "Alert since</span> <em>2027-01-15 08:12:00 UTC, 10 s ago" in page
                assert "1 time; first alert 2027-01-15 08:00:00 UTC, fired for 4 min 35 s in all" in page
            desk.world.now = end
            await desk.send(notification(alert("planner-1", started=start, ended=end)))
        page = await desk.get("/history")
        assert "resolved after 15 min 30 s, at 2027-01-15 08:15:30 UTC" in page
        assert "came back 1 time, fired for 7 min 55 s in all" in page


async def test_the_documents_tell_the_same_to_programs(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await opened(desk, "planner-1")
        await desk.after(900)
        [document] = json.loads(await desk.get("/incidents?state=open"))["incidents"]
        assert (document["id"], document["alert"], document["told"]) == (1, "AgentDown", ["slack"])
        assert document["stages"] == [{"stage": "lead", "channels": ["pagerduty"], "at": NOW + 910, "waited": 910.0}]
        async with desk.session.get(f"{desk.url}/incidents?state=closed") as answer:
            assert answer.status == 400


async def test_foreign_text_stays_text(tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script>\"'&"
    async with running(tmp_path) as desk:
        body = json.loads(notification(alert(agent=nasty, alertname=nasty)))
        body["alerts"][0]["annotations"] = {
            "summary": nasty,
            "runbook_url": "javascript:alert(1)",
            "dashboard_url": nasty,
        }
        assert await desk.send(json.dumps(body).encode()) == 200
        await desk.post("/acknowledge", {"incident": "1", "by": nasty})
        for path in ("/", "/history", "/acknowledge?incident=1", "/acknowledge?x=%22%3E%3Cscript%3E"):
            page = await desk.get(path)
            assert "<script" not in page
            assert "javascript:" not in page


async def test_pages_run_nothing_and_send_forms_only_home(tmp_path: Path) -> None:
    async with running(tmp_path) as desk, desk.session.get(desk.url) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "form-action 'self'" in policy
        assert answer.headers["Referrer-Policy"] == "same-origin", "else a browser hides where a form comes from"


async def test_it_is_ready_once_it_has_asked(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        async with desk.session.get(f"{desk.url}/-/ready") as answer:
            assert answer.status == 503
        desk.world.is_down = True
        await desk.desk.round()
        assert await desk.get("/-/ready") == "ready\n"
        assert await desk.get("/-/healthy") == "healthy\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (36, "36 s"), (96, "1 min 36 s"), (7200, "2 h"), (3601, "1 h"), (273_600, "3 d 4 h"), (59.7, "1 min")],
)
def test_times_are_told_in_two_units(seconds: float, words: str) -> None:
    assert lasted(seconds) == words
