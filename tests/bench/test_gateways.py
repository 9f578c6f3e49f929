"""What the benchmark of the sidecar asks is what its sidecar allows, checks, records and passes on."""

from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from bench.gateways import Gateways
from bench.sidecar import ASKED, CALL, CALL_HEADERS
from deploy.native import apt


@pytest.mark.skipif(apt.mirror() is None, reason="nginx comes from a Debian package, and there is no Debian mirror")
def test_the_measured_sidecar_verifies_records_and_passes_on(tmp_path: Path) -> None:
    gateways = Gateways(tmp_path)
    with gateways.server() as (_, behind), gateways.sidecar(behind) as (proxy, forward):

        def status(url: str, headers: dict[str, str], token: str, body: bytes | None = None) -> int:
            request = Request(url, body, {**headers, "Authorization": f"Bearer {token}"})  # noqa: S310 - loopback
            try:
                with urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
                    return int(answer.status)
            except HTTPError as refusal:
                return refusal.code

        first, second = gateways.tokens[:2]
        asked = {"Host": "localhost", **ASKED}
        assert [status(forward.url, asked, token) for token in (first, second, first + "AAAA")] == [200, 200, 401]
        assert [status(proxy.url, CALL_HEADERS, token, CALL.encode()) for token in (first, "x")] == [200, 401]
        records = "".join(file.read_text() for file in tmp_path.glob("audit-*/*.jsonl"))
        assert records.count('"authz_allow"') == 3
        assert records.count('"auth_failure"') == 2
