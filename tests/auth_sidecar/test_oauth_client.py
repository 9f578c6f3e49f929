"""The OAuth client of the MCP SDK, left alone with the challenge, finds its way to a token and calls a tool."""

import httpx2
from mcp.client import Client
from mcp.client.auth import TokenStorage
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from mcp_types import TextContent

from contract.ports import free_port
from tests.auth_sidecar.agents import sdk_server
from tests.auth_sidecar.issuer import Idp
from tests.auth_sidecar.sidecars import Start


class Memory(TokenStorage):
    """Keeps what the client learns."""

    tokens: OAuthToken | None = None
    info: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.info

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.info = client_info


async def test_the_sdks_client_follows_the_challenge_to_a_token(start_sidecar: Start, idp: Idp) -> None:
    idp.issuer = idp.url
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with sdk_server() as upstream:
        await start_sidecar(
            upstream,
            traffic={"port": port},
            resource={"url": url, "hosts": ["127.0.0.1"]},
            issuers=[{"name": "demo", "issuer": idp.url, "allow_http": True}],
        )
        storage = Memory()
        provider = ClientCredentialsOAuthProvider(f"{url}/kb/mcp", storage, "workflow-engine", "secret", issuer=idp.url)
        async with httpx2.AsyncClient(auth=provider) as http:
            transport = streamable_http_client(f"{url}/kb/mcp", http_client=http)
            async with Client(transport, cache=None) as client:
                result = await client.call_tool("search_knowledge", {"query": "x"})
    assert isinstance(result.content[0], TextContent)
    assert result.content[0].text == "found x"
    assert storage.tokens
