"""The frame of all pages: words for numbers, headers that keep browsers in, the style sheet."""

import aiohttp
import pytest
from aiohttp import web

from contract.pages import layout
from contract.web import serve


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "never"), (0.4, "now"), (12.9, "12 s ago"), (61, "1 min ago"), (7300, "2 h ago"), (200_000, "2 d ago")],
)
def test_age_is_told_in_the_largest_unit(value: float | None, text: str) -> None:
    assert layout.ago(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.00042, "0.4 ms"), (0.041, "41 ms"), (1.2, "1.20 s"), (41.0, "41 s"), (1900, "31 min")]
)
def test_duration_is_told_as_people_read_it(value: float, text: str) -> None:
    assert layout.seconds(value) == text


def test_counts_and_names_are_told_as_people_read_them() -> None:
    assert [layout.count(value) for value in (0, 1204, 0.5)] == ["0", "1,204", "0.50"]
    assert [layout.heading(name) for name in ("cpu", "knowledge_base", "x")] == ["CPU", "Knowledge base", "X"]
    assert [layout.words(name) for name in ("cpu_seconds", "planner")] == ["CPU seconds", "planner"]


@pytest.mark.parametrize(
    ("forms", "target", "referrer"), [(False, "'none'", "no-referrer"), (True, "'self'", "same-origin")]
)
async def test_every_answer_has_the_security_headers_errors_too(forms: bool, target: str, referrer: str) -> None:
    app = web.Application(middlewares=[layout.secured(forms=forms)])
    layout.add_style(app)
    server = await serve(app)
    async with aiohttp.ClientSession() as session:
        for path, status in ((layout.STYLE_PATH, 200), ("/nowhere", 404)):
            async with session.get(server.url + path) as answer:
                assert answer.status == status
                assert f"form-action {target}" in answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                assert answer.headers["Referrer-Policy"] == referrer
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
    await server.close()
