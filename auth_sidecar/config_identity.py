"""Configuration of who may prove to be whom: issuers of tokens, API keys, certificates."""

import datetime
import ipaddress
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from auth_sidecar.identity import API_KEYS, MTLS, ApiKey, CertificateRule
from auth_sidecar.principal import PrincipalKind
from contract.config import Finding, Location, Model
from contract.fields import Duration, HttpUrl, PositiveDuration, RelativePath, SecretFile

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


def _words(value: object) -> object:
    return [value] if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
"""One name or a list of names."""


class Claims(Model):
    """Which claims carry what; dots look into nested objects."""

    subject: str = "sub"
    roles: Words = ("roles",)
    scopes: Words = ("scope", "scp")
    client_id: Words = ("client_id", "azp")
    kind: str = "principal_type"
    default_kind: PrincipalKind | None = None
    role_names: Mapping[str, str] = {}
    default_roles: Words = ()


class Issuer(Model):
    """An issuer whose tokens count. Without `jwks_url` and `jwks_file` its keys are found by OIDC discovery."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    issuer: str
    jwks_url: HttpUrl | None = None
    jwks_file: RelativePath | None = None
    allow_http: bool = False
    """Fetch keys without TLS from hosts other than this machine."""
    algorithms: tuple[Algorithm, ...] = ("RS256",)
    audiences: Words = ()
    """Audiences that count besides `resource.url`."""
    required_claims: Words = ()
    require_at_jwt: bool = False
    """Refuse tokens whose type is not `at+jwt` (RFC 9068)."""
    leeway: Duration = 30.0
    max_token_age: PositiveDuration | None = None
    claims: Claims = Claims()
    ttl: PositiveDuration = 300.0
    refetch_interval: PositiveDuration = 10.0
    """At most one fetch in this time because of keys nobody knows."""
    max_stale: Duration = 3600.0
    """How long the last good keys stay in force while none can be fetched."""


class ApiKeyModel(Model):
    """A service account; `python -m auth_sidecar new-key NAME` makes the key and this entry."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    roles: Words = ()
    scopes: Words = ()
    kind: PrincipalKind = PrincipalKind.SERVICE
    expires: datetime.datetime | None = None

    def compiled(self) -> ApiKey:
        """Return the account in the form that is verified."""
        end = self.expires.replace(tzinfo=self.expires.tzinfo or datetime.UTC).timestamp() if self.expires else None
        return ApiKey(self.name, self.digest, self.roles, self.kind, frozenset(self.scopes), end or float("inf"))


class CertificateModel(Model):
    """Who a client certificate stands for."""

    spiffe_id: str = Field(pattern=r"^spiffe://")
    """Glob over the certificate's URI; the first entry that fits counts."""
    roles: Words = ()
    kind: PrincipalKind = PrincipalKind.SERVICE

    def compiled(self) -> CertificateRule:
        """Return the rule in the form that decides."""
        return CertificateRule(self.spiffe_id, self.roles, self.kind)


class Tls(Model):
    """TLS on the traffic port; certificates are read again at every reload, open connections stay."""

    cert_file: RelativePath
    key_file: SecretFile
    client_ca_file: RelativePath | None = None
    """Authorities whose client certificates count."""
    require_client_cert: bool = False
    identities: tuple[CertificateModel, ...] = ()


def check(issuers: Sequence[Issuer], keys: Sequence[ApiKeyModel], tls: Tls | None) -> Iterator[Finding]:
    """Find identities that could be taken for one another, and certificates that nothing could verify."""
    for index, issuer in enumerate(issuers):
        yield from _check_issuer(("issuers", index), issuer)
        if issuer.name in (API_KEYS, MTLS):
            message = f"{issuer.name!r} is how identities without an issuer are named"
            yield Finding(("issuers", index, "name"), message, "take another name")
    digests = [key.digest for key in keys]
    for index, digest in enumerate(digests):
        if digest in digests[:index]:
            yield Finding(("api_keys", index, "digest"), "another entry has the same key", "make one with new-key")
    if tls and not tls.client_ca_file:
        for field in ("require_client_cert", "identities"):
            if getattr(tls, field):
                mend = "name the authority's certificate in tls.client_ca_file"
                yield Finding(("tls", field), "no authority is known whose client certificates count", mend)


def is_local(url: str) -> bool:
    """Whether a URL stays on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_issuer(place: Location, issuer: Issuer) -> Iterator[Finding]:
    if issuer.jwks_url and issuer.jwks_file:
        yield Finding((*place, "jwks_file"), "keys come from a URL and a file", "keep one of jwks_url and jwks_file")
    url = issuer.jwks_url or (None if issuer.jwks_file else issuer.issuer)
    if url and not url.startswith("https://") and not is_local(url) and not issuer.allow_http:
        field = "jwks_url" if issuer.jwks_url else "issuer"
        yield Finding((*place, field), "keys would be fetched without TLS", "use https, or set allow_http: true")
    if issuer.jwks_file and not issuer.jwks_file.exists():
        yield Finding((*place, "jwks_file"), "the file does not exist", "check the path")


def check_roles(
    issuers: Sequence[Issuer], keys: Sequence[ApiKeyModel], tls: Tls | None, known: Container[str]
) -> Iterator[Finding]:
    """Find roles that the configuration gives and the role file does not have."""
    named: list[tuple[Location, Iterable[str]]] = []
    for index, issuer in enumerate(issuers):
        named.append((("issuers", index, "claims", "default_roles"), issuer.claims.default_roles))
        named.append((("issuers", index, "claims", "role_names"), issuer.claims.role_names.values()))
    named += [(("api_keys", index, "roles"), key.roles) for index, key in enumerate(keys)]
    certificates = tls.identities if tls else ()
    named += [(("tls", "identities", index, "roles"), each.roles) for index, each in enumerate(certificates)]
    for place, roles in named:
        for role in roles:
            if role not in known:
                yield Finding(place, f"no role {role!r} in the role file", "add it there, or take it out")
