"""What stands in front of an MCP server: the sidecar and its peers, set up to do the same work, each on one core."""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import jwt
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from bench import peers
from bench.load import LOAD_CORE, PROGRAM_CORE, Contender
from bench.processes import started
from contract.ports import free_port

OURS, HAPROXY, APACHE, NGINX = "sidecar", "HAProxy jwt_verify", "mod_auth_openidc", "nginx proxy_pass"
ALONE = "the server alone"
TOKENS = 4000
CACHED_TOKENS = 1000
"""Fewer than there are tokens, so that no token that is asked about in turn is still remembered."""
ISSUER, RESOURCE = "http://idp.bench", "http://localhost:9819"
PATH = "/bench/mcp"
_HAPROXY = """
global
  nbthread 1
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
frontend verify
  bind 127.0.0.1:{port}
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.jwt_alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request deny unless {{ var(txn.jwt_alg) -m str RS256 }}
  http-request deny unless {{ var(txn.bearer),jwt_payload_query('$.iss') -m str {issuer} }}
  http-request deny unless {{ var(txn.bearer),jwt_payload_query('$.aud') -m str {resource} }}
  http-request deny unless {{ var(txn.bearer),jwt_verify(txn.jwt_alg,"{folder}/public.pem") 1 }}
  http-request return status 200
"""
_APACHE = """
ServerRoot {folder}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
DefaultRuntimeDir {folder}
DocumentRoot {folder}/pages
ErrorLog /dev/null
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authn_core_module {modules}/mod_authn_core.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authz_user_module {modules}/mod_authz_user.so
LoadModule auth_openidc_module {modules}/mod_auth_openidc.so
User nobody
Group nogroup
ServerLimit 1
StartServers 1
ThreadsPerChild 64
MaxRequestWorkers 64
MinSpareThreads 1
MaxSpareThreads 64
MaxKeepAliveRequests 0
KeepAliveTimeout 60
OIDCOAuthVerifyCertFiles bench#{folder}/public.pem
<Location />
  AuthType oauth20
  <RequireAll>
    Require claim iss:{issuer}
    Require claim aud:{resource}
  </RequireAll>
</Location>
"""
_NGINX_BASE = """
daemon off; master_process off; pid {folder}/nginx-{port}.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{ access_log off; proxy_temp_path {folder}/p; client_body_temp_path {folder}/b; fastcgi_temp_path {folder}/f;
uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 100000000; default_type application/json;
"""
_NGINX = (
    _NGINX_BASE
    + """
upstream behind {{ server 127.0.0.1:{behind}; keepalive 64; keepalive_requests 100000000; }}
server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://behind; proxy_http_version 1.1;
proxy_set_header Connection ""; proxy_buffering off; }} }} }}
"""
)
_BEHIND = (
    _NGINX_BASE
    + """
server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{answer}'; }} }} }}
"""
)
_ANSWER = (
    '{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[{"type":"text","text":"Rain."}],'
    '"isError":false}}'
)


class Gateways:
    """Keys, tokens and configurations of one run, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Make a key, its tokens and the files that name them; other users may pass through the folder."""
        self._folder = folder
        key = rsa.generate_private_key(65537, 2048)
        public = key.public_key()
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        entry = {**json.loads(RSAAlgorithm.to_jwk(public)), "kid": "bench", "alg": "RS256", "use": "sig"}
        (folder / "public.pem").write_bytes(pem)
        (folder / "jwks.json").write_text(json.dumps({"keys": [entry]}))
        (folder / "audit_key").touch(0o600)
        (folder / "audit_key").write_text("0123456789abcdef" * 3)
        (folder / "roles.yaml").write_text("roles: {caller: {permissions: ['agent:view']}}\n")
        page = folder / "pages" / PATH[1:]
        page.parent.mkdir(parents=True)
        page.write_text("{}")
        folder.chmod(0o711)  # Apache's workers are another user
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": RESOURCE, "sub": "bench", "exp": now + 7200, "iat": now, "roles": ["caller"]}
        headers = {"kid": "bench", "typ": "at+jwt"}
        self.tokens = [jwt.encode({**claims, "jti": f"t{n}"}, key, "RS256", headers=headers) for n in range(TOKENS)]

    @contextmanager
    def sidecar(
        self, behind: int, name: str = OURS, environ: Mapping[str, str] | None = None
    ) -> Iterator[tuple[Contender, Contender]]:
        """Run the sidecar in front of a server; yield its proxy and its forward-auth endpoint."""
        proxy, admin, forward = free_port(), free_port(), free_port()
        file = self._folder / f"sidecar-{proxy}.yaml"
        file.write_text(yaml.safe_dump(self._sidecar_config(behind, forward)))
        words = ["--config", str(file), "--port", str(proxy), "--admin-port", str(admin)]
        command = [sys.executable, "-m", "auth_sidecar", *words]
        url, changed = f"http://127.0.0.1:{admin}", {**os.environ, **environ} if environ else None
        with started(command, url, ready="/-/ready", environ=changed, core=PROGRAM_CORE) as program:
            yield (
                Contender(name, program, f"http://127.0.0.1:{proxy}{PATH}"),
                Contender(name, program, f"http://127.0.0.1:{forward}/auth"),
            )

    def _sidecar_config(self, behind: int, forward: int) -> dict[str, Any]:
        route = {"path": PATH, "agent": "b", "agent_type": "planner", "upstream": f"http://127.0.0.1:{behind}{PATH}"}
        return {
            "resource": {"url": RESOURCE},
            "issuers": [{"name": "bench", "issuer": ISSUER, "jwks_file": "jwks.json"}],
            "routes": [route],
            "operations": {"methods": {"http/post": "agent:view"}, "tools": {"search": "agent:view"}},
            "forward_auth": {"port": forward},
            "limits": {"cached_tokens": CACHED_TOKENS},
            "audit": {"folder": f"audit-{forward}", "key_file": "audit_key"},
        }

    @contextmanager
    def haproxy(self) -> Iterator[Contender]:
        """Run HAProxy, which verifies tokens and answers by itself."""
        with self._peer("haproxy", HAPROXY, _HAPROXY, "-db", issuer=ISSUER, resource=RESOURCE) as contender:
            self._demand_refusal(contender)
            yield contender

    @contextmanager
    def apache(self) -> Iterator[Contender]:
        """Run Apache with mod_auth_openidc as an OAuth 2.0 resource server that verifies tokens by itself."""
        modules = peers.program("apache").parents[1] / "lib/apache2/modules"
        words = ("-D", "FOREGROUND")
        with self._peer(
            "apache", APACHE, _APACHE, *words, modules=modules, issuer=ISSUER, resource=RESOURCE
        ) as contender:
            self._demand_refusal(contender)
            yield contender

    @contextmanager
    def nginx(self, behind: int) -> Iterator[Contender]:
        """Run nginx in front of a server; it passes everything on and checks nothing."""
        with self._peer("nginx", NGINX, _NGINX, behind=behind) as contender:
            yield contender

    @contextmanager
    def server(self) -> Iterator[tuple[Contender, int]]:
        """Run what stands behind proxies, on the core of the load; it answers faster than any of them can ask."""
        with self._peer("nginx", ALONE, _BEHIND, core=LOAD_CORE, answer=_ANSWER) as contender:
            yield contender, int(contender.program.url.rpartition(":")[2])

    @contextmanager
    def _peer(
        self, program: str, name: str, config: str, *words: str, core: int = PROGRAM_CORE, **values: Any
    ) -> Iterator[Contender]:
        port = free_port()
        file = self._folder / f"{program}-{port}.conf"
        file.write_text(config.format(port=port, folder=self._folder, **values))
        option = "-c" if program == "nginx" else "-f"
        command = [str(peers.program(program)), *words, option, str(file)]
        url, headers, environ = f"http://127.0.0.1:{port}", self._bearer(), peers.environment(program)
        with started(command, url, ready=PATH, headers=headers, environ=environ, core=core) as running:
            yield Contender(name, running, url + PATH)

    def _bearer(self, suffix: str = "") -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.tokens[0]}{suffix}"}

    def _demand_refusal(self, contender: Contender) -> None:
        """Raise RuntimeError for a peer that lets a token pass whose signature is wrong: it would be no peer."""
        try:
            contender.program.get(PATH, self._bearer("AAAA"))
        except HTTPError as refusal:
            if refusal.code in (401, 403):
                return
        raise RuntimeError(f"{contender.name} does not check signatures")
