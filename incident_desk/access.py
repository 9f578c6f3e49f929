"""Who may acknowledge, and whether a request really comes from the desk's own page. Pure: a request's facts decide."""

import hmac
from typing import NamedTuple
from urllib.parse import urlsplit

from contract.networks import is_within
from incident_desk.config import Acknowledge

MAX_NAME = 100
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class Asker(NamedTuple):
    """What of a request tells who sends it."""

    peer: str
    host: str
    origin: str | None
    fetch_site: str | None
    bearer: str | None
    is_forwarded: bool
    """Whether a proxy passed it on."""
    identity: str | None
    """What the identity header says; None unless a trusted proxy sent it."""

    @property
    def is_program(self) -> bool:
        """Whether it is no browser, which says from where each form comes."""
        return self.bearer is not None or (self.origin is None and self.fetch_site is None)


class Refused(NamedTuple):
    """Why somebody may not acknowledge, and how that is mended."""

    status: int
    reason: str


class Allowed(NamedTuple):
    """Somebody may acknowledge; by a name of his own choice where no proxy knows it."""

    name: str | None


def judge(asker: Asker, config: Acknowledge) -> Allowed | Refused:
    """Decide whether somebody may acknowledge; what is not expressly allowed is refused."""
    if asker.bearer is not None:
        return _by_token(asker.bearer, config)
    if config.identity and is_within(asker.peer, config.identity.trusted_proxies):
        name = clean(asker.identity or "")
        mend = f"the proxy sent no {config.identity.header}; it must authenticate people before it passes them on"
        return Allowed(name) if name else Refused(401, mend)
    if asker.is_forwarded:
        return Refused(403, "a proxy passed this on; name it in acknowledge.identity.trusted_proxies")
    if is_within(asker.peer, config.everybody_from):
        return Allowed(None)
    return Refused(403, f"{asker.peer} may only look; the desk's configuration says who may acknowledge")


def comes_from_own_page(asker: Asker, public_url: str) -> bool:
    """Whether no other website sent the request: a browser says from where, and by which name it found us."""
    if asker.bearer is not None:
        return True
    public = urlsplit(public_url)
    # A proxy may call us by another name; a name bound anew (DNS rebinding) brings no word of a trusted proxy along.
    if asker.identity is None and _host(f"//{asker.host}") not in (*_LOCAL_NAMES, public.hostname):
        return False
    if asker.fetch_site not in (None, "same-origin"):
        return False
    return asker.origin is None or asker.origin.partition("://")[2] in (asker.host, public.netloc)


def clean(name: str) -> str:
    """Return a name as one line of printable text, cut to what is kept."""
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())[:MAX_NAME]


def _by_token(bearer: str, config: Acknowledge) -> Allowed | Refused:
    if config.token_file is None:
        return Refused(401, "no token counts here; see acknowledge.token_file")
    if not hmac.compare_digest(bearer.encode("utf-8", "replace"), config.token_file.read().encode()):
        return Refused(401, "this is not the token")
    return Allowed(None)


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
