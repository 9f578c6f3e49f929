"""Tokens of probes: from a file, by client credentials; renewed in time, never shown."""

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

import aiohttp
import pytest

from contract.fields import SecretFile
from contract.vocabulary import ProbeOutcome
from exporter.clients import Clients
from exporter.config import FileCredentials, OAuthCredentials
from exporter.credentials import ClientCredentialsToken, FileToken, read_token_answer, token_request
from exporter.exchange import HttpClient, Transcript
from exporter.mcp_client import read_challenge
from exporter.outcome import Failure
from exporter.probes import make
from tests.exporter.conftest import target
from tests.exporter.servers import DISCOVERED, GOOD, Request, always, answering, http, rpc_error, rpc_result, serving


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Issuer:
    """An OAuth token endpoint that numbers its tokens."""

    def __init__(self, lifetime: object = 100, status: int = 200) -> None:
        self.requests: list[Request] = []
        self.lifetime = lifetime
        self.status = status

    def __call__(self, request: Request) -> bytes:
        self.requests.append(request)
        if self.status != 200:
            return http(self.status, '{"error": "invalid_client"}')
        return http(200, f'{{"access_token": "token-{len(self.requests)}", "expires_in": {self.lifetime}}}')


@pytest.fixture
def secret(tmp_path: Path) -> SecretFile:
    file = tmp_path / "secret"
    file.write_text("s:cr%t\n")
    return SecretFile(file)


@pytest.fixture
def config(secret: SecretFile) -> Callable[..., OAuthCredentials]:
    def made(url: str = "http://idp/token", **more: str) -> OAuthCredentials:
        return OAuthCredentials(token_url=url, client_id="exporter", client_secret_file=secret, **more)

    return made


async def test_file_token_is_read_again_when_its_time_is_up(secret: SecretFile) -> None:
    clock = Clock()
    token = FileToken(secret, clock)
    assert await token.header() == "Bearer s:cr%t"
    secret.path.write_text("second")
    assert await token.header() == "Bearer s:cr%t"
    clock.now += 10
    assert await token.header() == "Bearer second"


async def test_refused_file_token_is_read_again_at_once(secret: SecretFile) -> None:
    token = FileToken(secret, Clock())
    await token.header()
    secret.path.write_text("second")
    token.reject()
    assert await token.header() == "Bearer second"


@pytest.mark.parametrize("content", [None, " \n"])
async def test_token_file_that_holds_none_is_an_auth_error(secret: SecretFile, content: str | None) -> None:
    secret.path.unlink()
    if content is not None:
        secret.path.write_text(content)
    header = await FileToken(secret, Clock()).header()
    assert isinstance(header, Failure)
    assert header.outcome is ProbeOutcome.AUTH_ERROR


def test_secret_goes_into_basic_auth_form_encoded(config: Callable[..., OAuthCredentials]) -> None:
    form, headers = token_request(config(scope="a b", resource="http://r", audience="aud"))
    assert form == {"grant_type": "client_credentials", "scope": "a b", "resource": "http://r", "audience": "aud"}
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"exporter:s%3Acr%25t"


def test_secret_goes_into_the_form_when_the_server_wants_it_there(config: Callable[..., OAuthCredentials]) -> None:
    form, headers = token_request(config(client_auth="post"))
    assert (form["client_id"], form["client_secret"]) == ("exporter", "s:cr%t")
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, b"<html>", "not JSON"),
        (200, b"[]", "not an object"),
        (200, b"{}", "status 200"),
        (200, b'{"access_token": ""}', "status 200"),
        (200, b'{"access_token": "a\\nb"}', "status 200"),
        (401, b'{"error": "invalid_client", "access_token": "x"}', "invalid_client"),
    ],
)
def test_answer_without_a_usable_token_is_refused(status: int, body: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_token_answer(status, body)


def echoing(part: str) -> Callable[[Request], bytes]:
    """Return what answers with the token it was given, in one part of the answer."""

    def answer(request: Request) -> bytes:
        token = request.headers["authorization"].removeprefix("Bearer ")
        if part == "body":
            return http(500, f"you sent {token}")
        if part == "server name":
            named = {**DISCOVERED, "_meta": {"io.modelcontextprotocol/serverInfo": {"name": token}}}
            return http(200, rpc_result(named))
        if part == "error message":
            return http(400, rpc_error(-32020, f"bad token {token}"))
        if part == "location":
            return http(302, location=f"/login?token={token}")
        if part == "event":
            return http(200, f"data: {rpc_error(-32020, token)}\n\n", "text/event-stream")
        if part == "no header":
            return f"HTTP/1.1 200 {token}\r\nX {token}: \x01{token}\r\n\r\n".encode()
        return http(401, www_authenticate=f'Bearer {part}="{token}", error="invalid_token"')

    return answer


@pytest.mark.parametrize(
    "part",
    [
        "error_description",
        "error",
        "realm",
        "scope",
        "body",
        "server name",
        "error message",
        "location",
        "event",
        "no header",
    ],
)
async def test_token_that_an_agent_repeats_is_shown_nowhere(
    session: aiohttp.ClientSession, secret: SecretFile, part: str
) -> None:
    secret.path.write_text("tok-0123456789abcdef")
    transcript, token = Transcript(), FileToken(secret)
    async with serving(answering(echoing(part))) as url:
        client = HttpClient(session, url, token=token, transcript=transcript)
        result = await make(target(url, credentials="ours"))(client, 5)
    assert transcript.lines
    assert "tok-0123456789abcdef" not in f"{result} {transcript.lines}"


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        ("Bearer", "Bearer"),
        ("", ""),
        ('Bearer error="invalid_token", error_description="it was abc"', 'Bearer error="invalid_token"'),
        (
            'Bearer realm="x", resource_metadata="http://a/.well-known/x", scope="a b"',
            'Bearer resource_metadata="http://a/.well-known/x" scope="a b"',
        ),
        ("Bearer scope=a,error=b", "Bearer scope=a error=b"),
        ('Bearer x_error="no", error="\x1b[31m"', 'Bearer error="[31m"'),
        ("eyJhbGciOi.Jzd", ""),
        ("Bearer " + "error=" * 1000, "Bearer error=" + ("error=" * 1000)[:200]),
    ],
)
def test_challenge_is_shown_by_what_it_asks_for(header: str, shown: str) -> None:
    assert read_challenge(header) == shown


def test_token_without_lifetime_is_kept_for_five_minutes() -> None:
    assert read_token_answer(200, b'{"access_token": "t"}') == ("t", 300)
    assert read_token_answer(200, b'{"access_token": "t", "expires_in": "soon"}') == ("t", 300)


async def test_token_is_fetched_once_and_renewed_before_it_expires(
    session: aiohttp.ClientSession, config: Callable[..., OAuthCredentials]
) -> None:
    clock, issuer = Clock(), Issuer(lifetime=100)
    async with serving(answering(issuer)) as url:
        token = ClientCredentialsToken(config(f"{url}/token"), session, clock)
        headers = await asyncio.gather(*(token.header() for _ in range(50)))
        assert set(headers) == {"Bearer token-1"}
        clock.now += 79
        assert await token.header() == "Bearer token-1"
        clock.now += 1
        assert await token.header() == "Bearer token-2"
    assert len(issuer.requests) == 2
    assert parse_qs(issuer.requests[0].body.decode()) == {"grant_type": ["client_credentials"]}


async def test_refused_token_is_replaced_but_a_new_one_is_not(
    session: aiohttp.ClientSession, config: Callable[..., OAuthCredentials]
) -> None:
    clock, issuer = Clock(), Issuer()
    async with serving(answering(issuer)) as url:
        token = ClientCredentialsToken(config(url), session, clock)
        await token.header()
        token.reject()
        assert await token.header() == "Bearer token-1"
        clock.now += 10
        token.reject()
        assert await token.header() == "Bearer token-2"


async def test_failing_issuer_is_asked_again_only_after_a_while(
    session: aiohttp.ClientSession, config: Callable[..., OAuthCredentials]
) -> None:
    clock, issuer = Clock(), Issuer(status=401)
    async with serving(answering(issuer)) as url:
        token = ClientCredentialsToken(config(url), session, clock)
        failures = [await token.header() for _ in range(10)]
        assert len(issuer.requests) == 1
        issuer.status = 200
        clock.now += 10
        assert await token.header() == "Bearer token-2"
    assert isinstance(failures[0], Failure)
    assert failures[0].outcome is ProbeOutcome.AUTH_ERROR
    assert "invalid_client" in failures[0].detail
    assert "cr%t" not in failures[0].detail


async def test_issuer_out_of_reach_is_an_auth_error(
    session: aiohttp.ClientSession, config: Callable[..., OAuthCredentials]
) -> None:
    header = await ClientCredentialsToken(config("http://127.0.0.1:1/token"), session).header()
    assert isinstance(header, Failure)
    assert header.outcome is ProbeOutcome.AUTH_ERROR


async def test_probe_sends_the_token_and_no_transcript_shows_it(
    session: aiohttp.ClientSession, config: Callable[..., OAuthCredentials]
) -> None:
    seen: list[str] = []

    def guarded(request: Request) -> bytes:
        seen.append(request.headers.get("authorization", ""))
        return GOOD if seen[-1] == "Bearer token-1" else http(401)

    async with serving(answering(Issuer())) as issuer_url, serving(answering(guarded)) as url:
        transcript = Transcript()
        client = Clients(session, {"ours": config(issuer_url)}).make(url, "ours", None, transcript)
        result = await make(target(url, credentials="ours"))(client, 5)
    assert result.outcome is ProbeOutcome.OK
    assert seen == ["Bearer token-1"]
    assert "token-1" not in "\n".join(transcript.lines)
    assert "> Authorization: <redacted>" in transcript.lines


async def test_probe_without_its_token_asks_the_agent_nothing(
    session: aiohttp.ClientSession, secret: SecretFile
) -> None:
    asked: list[Request] = []
    secret.path.unlink()

    def noted(request: Request) -> bytes:
        asked.append(request)
        return GOOD

    async with serving(answering(noted)) as url:
        client = Clients(session, {"ours": FileCredentials.model_construct(token_file=secret)}).make(url, "ours", None)
        result = await make(target(url, credentials="ours"))(client, 5)
    assert (result.outcome, asked) == (ProbeOutcome.AUTH_ERROR, [])
    assert result.detail.startswith("no token: ")


async def test_agents_of_the_same_credentials_share_one_token(
    session: aiohttp.ClientSession, config: Callable[..., OAuthCredentials]
) -> None:
    issuer = Issuer()
    async with serving(answering(issuer)) as issuer_url, serving(always(GOOD)) as url:
        clients = Clients(session, {"ours": config(issuer_url)})
        made = [clients.make(url, "ours", None) for _ in range(20)]
        await asyncio.gather(*(client.send("GET", {}) for client in made))
    assert len(issuer.requests) == 1


async def test_client_without_token_asks_nobody(session: aiohttp.ClientSession) -> None:
    async with serving(always(http(401))) as url:
        result = await make(target(url, credentials="x"))(HttpClient(session, url), 5)
    assert result.outcome is ProbeOutcome.AUTH_ERROR
