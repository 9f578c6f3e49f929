"""The control API: GET /faults and /metrics, POST and DELETE /faults/{name}, DELETE /faults."""

from collections.abc import Awaitable, Callable
from functools import partial

from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from contract.metrics import CATALOGUE
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

    registry = fault_metric(faults)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application(middlewares=[no_browsers])
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/faults", show)
    app.router.add_delete("/faults", stop_all)
    app.router.add_post("/faults/{name}", start)
    app.router.add_delete("/faults/{name}", stop)
    add_health(app)
    return app


def fault_metric(faults: Faults) -> CollectorRegistry:
    """Return what Prometheus scrapes, so that dashboards mark when something was broken on purpose."""
    registry = CollectorRegistry()
    metric = CATALOGUE["mcp_demo_fault_active"]
    gauge = Gauge(metric.name, metric.help, metric.labels, registry=registry)
    for fault in Fault:
        gauge.labels(fault.value).set_function(partial(faults.is_active, fault))
    return registry


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
