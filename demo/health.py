"""The health endpoint of the demo's aiohttp services."""

from aiohttp import web


def add_health(app: web.Application) -> None:
    """Add GET /-/healthy: whoever answers it is alive."""

    async def healthy(_request: web.Request) -> web.Response:
        return web.Response(text="healthy\n")

    app.router.add_get("/-/healthy", healthy)
