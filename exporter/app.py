"""The exporter's HTTP side: metrics, health, pages."""

import orjson
from aiohttp import web

from contract.instruments import Instruments
from contract.pages.layout import secured
from contract.web import Reloader, setup_admin
from exporter import on_demand
from exporter.config import ExporterConfig
from exporter.health.report import report
from exporter.pages import runbooks, status
from exporter.service import Exporter


def make_app(exporter: Exporter, instruments: Instruments, reloader: Reloader[ExporterConfig]) -> web.Application:
    """Return the application of a running exporter."""
    app = web.Application(middlewares=[secured()])
    setup_admin(
        app,
        registry=instruments.registry,
        instruments=instruments,
        is_ready=exporter.is_ready,
        reloader=reloader,
        extra_metrics=exporter.exposition,
        has_exemplars=exporter.tracer is not None,
    )

    async def health(_request: web.Request) -> web.Response:
        body = orjson.dumps(report(exporter), option=orjson.OPT_INDENT_2)
        return web.Response(body=body, content_type="application/json")

    app.router.add_get("/health", health)
    app.router.add_get("/probe", on_demand.handler(exporter))
    status.setup(app, exporter)
    runbooks.setup(app, exporter)
    return app
