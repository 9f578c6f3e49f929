"""Trace context of HTTP headers for an agent: the SDK reads `params._meta` alone, which not every caller fills."""

from opentelemetry import context, propagate
from starlette.types import ASGIApp, Receive, Scope, Send

_CARRIED = (b"traceparent", b"tracestate")


def traced(app: ASGIApp) -> ASGIApp:
    """Run an application in the context that its caller's headers tell; what `_meta` says wins over it."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        pairs = scope.get("headers", ())
        carrier = {name.decode(): value.decode("latin-1") for name, value in pairs if name in _CARRIED}
        token = context.attach(propagate.extract(carrier))
        try:
            await app(scope, receive, send)
        finally:
            context.detach(token)

    return run
