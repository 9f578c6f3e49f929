"""The provider over HTTP; rotating the keys has a listener of its own, because tokens are for everybody."""

from urllib.parse import parse_qsl

from aiohttp import web

from demo.health import add_health
from demo.idp.errors import OAuthError
from demo.idp.provider import Provider

FORM = "application/x-www-form-urlencoded"
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
SHORTLY = {"Cache-Control": "max-age=60"}
MAX_BODY_BYTES = 64 * 1024
MAX_FIELDS = 50


def public_app(provider: Provider) -> web.Application:
    """Return the public side: discovery, keys and tokens."""

    async def metadata(_request: web.Request) -> web.Response:
        return web.json_response(provider.metadata(), headers=SHORTLY)

    async def keys(_request: web.Request) -> web.Response:
        return web.json_response(provider.keys.published(), headers=SHORTLY)

    async def token(request: web.Request) -> web.Response:
        try:
            answer = provider.token(request.headers.get("Authorization"), await _form(request))
        except OAuthError as error:
            body = {"error": error.error, "error_description": error.description}
            return web.json_response(body, status=error.status, headers={**NO_STORE, **error.headers})
        return web.json_response(answer, headers=NO_STORE)

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_get("/.well-known/openid-configuration", metadata)
    app.router.add_get("/.well-known/oauth-authorization-server", metadata)
    app.router.add_get("/jwks", keys)
    app.router.add_post("/token", token)
    app.router.add_get("/authorize", _authorize)
    add_health(app)
    return app


def control_app(provider: Provider) -> web.Application:
    """Return the operator's side: `POST /-/rotate` signs with a new key from now on."""

    async def rotate(request: web.Request) -> web.Response:
        if "Origin" in request.headers:
            raise web.HTTPForbidden(text="not from a browser\n")
        return web.json_response({"kid": provider.keys.rotate()})

    app = web.Application()
    app.router.add_post("/-/rotate", rotate)
    add_health(app)
    return app


async def _form(request: web.Request) -> list[tuple[str, str]]:
    if request.content_type != FORM:
        raise OAuthError("invalid_request", f"the body must be {FORM}")
    try:
        return parse_qsl((await request.read()).decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise OAuthError("invalid_request", "the body is not a form in UTF-8") from error


async def _authorize(_request: web.Request) -> web.Response:
    """Refuse: the endpoint is there because metadata must name one, but no person signs in here."""
    body = {"error": "unsupported_response_type", "error_description": "this provider issues tokens to machines only"}
    return web.json_response(body, status=400)
