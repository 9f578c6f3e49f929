"""The control API: GET /faults, POST and DELETE /faults/{name}, DELETE /faults."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from demo.faults.catalogue import Fault
from demo.faults.effects import Faults
from demo.health import add_health


def control_app(faults: Faults) -> web.Application:
    """Return the application; it refuses browsers, whose pages may send requests anywhere."""

    async def show(_request: web.Request) -> web.Response:
        return web.json_response({"active": faults.report(), "faults": [fault.value for fault in Fault]})

    async def start(request: web.Request) -> web.Response:
        await faults.break_(_named(request))
        return await show(request)

    async def stop(request: web.Request) -> web.Response:
        await faults.heal(_named(request))
        return await show(request)

    async def stop_all(request: web.Request) -> web.Response:
        await faults.heal_all()
        return await show(request)

    app = web.Application(middlewares=[no_browsers])
    app.router.add_get("/faults", show)
    app.router.add_delete("/faults", stop_all)
    app.router.add_post("/faults/{name}", start)
    app.router.add_delete("/faults/{name}", stop)
    add_health(app)
    return app


@web.middleware
async def no_browsers(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse what a page in a browser sends."""
    if "Origin" in request.headers or "Sec-Fetch-Site" in request.headers:
        raise web.HTTPForbidden(text="not from a browser\n")
    return await handler(request)


def _named(request: web.Request) -> Fault:
    name = request.match_info["name"]
    try:
        return Fault(name)
    except ValueError:
        raise web.HTTPNotFound(text=f"no fault {name!r}; there are: {', '.join(Fault)}\n") from None
