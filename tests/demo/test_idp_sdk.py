"""A second witness: the OAuth client of the MCP SDK finds the provider, gets a token and calls a protected tool."""

from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx2
import jwt
import pytest
from mcp.client import Client
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from starlette.types import ASGIApp

from contract.web import serve
from demo.idp.app import public_app
from demo.idp.clients import Registry, registered
from demo.idp.keys import KeyRing
from demo.idp.provider import Provider
from demo.listener import Listener


class Verifier:
    """Verifies tokens of a provider for one resource."""

    def __init__(self, provider: Provider, resource: str) -> None:
        self._provider = provider
        self._resource = resource

    async def verify_token(self, token: str) -> AccessToken | None:
        key = jwt.PyJWKSet.from_dict(self._provider.keys.published()).keys[0]
        claims = jwt.decode(token, key, algorithms=["RS256"], audience=self._resource, issuer=self._provider.issuer)
        scopes = claims["scope"].split()
        return AccessToken(token=token, client_id=claims["client_id"], scopes=scopes, resource=claims["aud"])


class Memory:
    """Keeps tokens as the SDK's client wants it."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


def protected(provider: Provider, listener: list[Listener]) -> ASGIApp:
    resource = f"http://127.0.0.1:{listener[0].port}/mcp"
    settings = AuthSettings.model_validate(
        {
            "issuer_url": provider.issuer,
            "resource_server_url": resource,
            "required_scopes": ["workflow:status"],
            "validate_token_resource": True,
        }
    )
    server: MCPServer[Any] = MCPServer("protected", auth=settings, token_verifier=Verifier(provider, resource))

    @server.tool()
    def secret() -> str:
        """Tell a secret."""
        return "42"

    return server.streamable_http_app(json_response=True)


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_the_sdk_client_gets_in_by_discovery(
    secrets: Path, method: Literal["client_secret_basic", "client_secret_post"]
) -> None:
    holder: list[Listener] = []
    provider = Provider("", Registry({}), KeyRing())
    idp = await serve(public_app(provider))
    provider.issuer = idp.url
    holder.append(Listener(partial(protected, provider, holder)))
    await holder[0].open()
    url = f"{holder[0].url}/mcp"
    provider._registry = Registry(registered(secrets, url))
    auth = ClientCredentialsOAuthProvider(
        url, Memory(), "workflow-engine", "engine secret: +/=%&", method, "workflow:status", idp.url
    )
    try:
        async with (
            httpx2.AsyncClient(auth=auth) as http,
            Client(streamable_http_client(url, http_client=http), mode="2026-07-28") as client,
        ):
            result = await client.call_tool("secret", {})
        assert result.structured_content == {"result": "42"}
    finally:
        await holder[0].close()
        await idp.close()
