"""Security: who is refused and why, who is locked out, and are the keys fresh."""

from contract.vocabulary import AuthReason, AuthResult, AuthzResult
from dashboards.board import Board, Row
from dashboards.conventions import REFUSED_RECORDS, Colour, NoData
from dashboards.fields import Column
from dashboards.limits import Limits
from dashboards.panels import About, Empty, Panel, heat, lines, number, rows, stack
from dashboards.queries import Query, occurring, percentile, percentiles, rate, share

AUTHENTICATIONS = "mcp_auth_authentications_total"
AUTHORIZATIONS = "mcp_auth_authorizations_total"
REFUSED = f'{AUTHENTICATIONS}{{result!="success"}}'
ALLOWED = f'{AUTHORIZATIONS}{{result="allow"}}'
DENIED = f'{AUTHORIZATIONS}{{result!="allow"}}'
DECISION = "mcp_auth_decision_duration_seconds"
PERCENTILES = ("p50", "p95", "p99")
REFUSALS = tuple(reason for reason in AuthReason if reason is not AuthReason.OK)
NOTHING_DENIED = "Nothing was denied in this time."


def board(limits: Limits) -> Board:
    """Return the dashboard of security."""
    return Board(
        name="security",
        title="Security",
        description="Authentications by reason, authorizations by role, lockouts, revocations, keys, decisions.",
        filters=[],
        rows=[
            Row([failures(limits), denied(), locked(), revoked(), key_age(), fail_open()]),
            Row([by_result(), by_reason().sized(12)], "Authentication"),
            Row([authorization_results(), by_role(), denials(), shadow_denials(), hidden()], "Authorization"),
            Row([lockouts(), refreshes(), key_ages()], "Lockouts and keys"),
            Row([decision_latency(), latency_by_mode(), decision_heat(), cache()], "Decisions"),
        ],
        marked='component="security"',
    )


def failures(limits: Limits) -> Panel:
    """Failed authentications, as the alert counts them."""
    limit = limits.of("security_breach")
    about = About(
        "Failed authentications",
        "Authentications that failed within the last minute, as the alert SecurityBreach counts them.",
        NoData.SIDECAR,
    )
    return number(about, Query(limit.expr), unit="none", limit=limit)


def denied() -> Panel:
    """How much is denied."""
    about = About(
        "Denied authorizations", "Share of authorizations that were denied or ended in an error.", NoData.SIDECAR
    )
    return number(about, Query(share(DENIED, AUTHORIZATIONS)), unit="percentunit")


def locked() -> Panel:
    """Who is locked out."""
    about = About("Clients locked out", "Clients that are locked out now after repeated failures.", NoData.SIDECAR)
    return number(about, Query("sum(mcp_auth_locked_clients)"), unit="none", steps=[(1, Colour.WARNING)])


def revoked() -> Panel:
    """How many revocations there are."""
    about = About("Revocations", "Tokens, subjects and dates before which tokens are refused.", NoData.SIDECAR)
    return number(about, Query("max(mcp_auth_tokens_revoked)"), unit="none")


def key_age() -> Panel:
    """How fresh the keys are."""
    about = About(
        "Age of issuers' keys",
        "Time since the keys of the issuer whose last refresh is longest ago were fetched.",
        "No keys were fetched yet: is the issuer reachable?",
    )
    return number(about, Query("time() - min(mcp_auth_jwks_last_refresh_timestamp_seconds > 0)"), unit="s")


def fail_open() -> Panel:
    """How often a control was bypassed."""
    about = About(
        "Bypassed controls",
        "How often the configuration let a request pass without a control, in the chosen time range.",
        "No control may be bypassed, or none was.",
        Empty.WHEN_HEALTHY,
    )
    query = Query("sum(increase(mcp_auth_fail_open_total[$__range]))")
    return number(about, query, unit="none", steps=[(1, Colour.BAD)])


def by_result() -> Panel:
    """How authentications end."""
    about = About(
        "Authentications by result",
        "Authentications a second: success, failure of the caller, error of ours.",
        NoData.SIDECAR,
    )
    query = Query(f"sum by (result) ({rate(AUTHENTICATIONS)})", "{{result}}")
    return stack(about, query, unit="ops", legends=tuple(AuthResult))


def by_reason() -> Panel:
    """Why authentications fail."""
    about = About(
        "Auth failures by reason",
        "Authentications that failed, a second, by reason; reasons that do not occur are left out.",
        "No authentication failed in this time.",
        Empty.WHEN_HEALTHY,
    )
    query = Query(occurring(REFUSED, "reason"), "{{reason}}")
    return stack(about, query, unit="ops", legends=REFUSALS).sized(8).leading_to(REFUSED_RECORDS)


def authorization_results() -> Panel:
    """How authorizations end."""
    about = About(
        "Authorizations by result", "Authorizations a second: allowed, denied, error of ours.", NoData.SIDECAR
    )
    query = Query(f"sum by (result) ({rate(AUTHORIZATIONS)})", "{{result}}")
    return stack(about, query, unit="ops", legends=tuple(AuthzResult)).sized(8)


def by_role() -> Panel:
    """Who is allowed how much."""
    about = About(
        "Allowed requests by role",
        "Requests that were allowed, a second, by the role that allowed them.",
        NoData.SIDECAR,
    )
    query = Query(occurring(ALLOWED, "role"), "{{role}}")
    return stack(about, query, unit="ops").sized(8)


def denials() -> Panel:
    """Who is denied what for."""
    about = About(
        "Denials by role",
        "Requests of known callers that were denied in the chosen time range, by the caller's role and the reason.",
        NOTHING_DENIED,
        Empty.WHEN_HEALTHY,
    )
    return _by_role_and_reason(about, DENIED).sized(8, 9)


def shadow_denials() -> Panel:
    """What the policy would deny if it were in force."""
    about = About(
        "Shadow denials by role",
        "Requests that passed in shadow mode although they would have been denied, in the chosen time range.",
        "Nothing would have been denied in this time, or shadow mode is off.",
        Empty.WHEN_HEALTHY,
    )
    return _by_role_and_reason(about, "mcp_auth_shadow_denials_total").sized(12, 9)


def _by_role_and_reason(about: About, counter: str) -> Panel:
    """A table, because no colours tell apart what two names make together."""
    counted = f"sum by (role, reason) (round(increase({counter}[$__range]))) > 0"
    columns = [Column("role", "Role"), Column("reason", "Reason"), Column("Value", "Requests", unit="none", width=100)]
    return rows(about, columns, Query(counted), sort_by="Requests")


def hidden() -> Panel:
    """What callers do not get to see."""
    about = About(
        "Entries hidden from lists",
        "Tools, prompts and resources left out of lists because the caller may not use them, a second.",
        "No list was shortened: none was asked for yet, or its caller may use all.",
        Empty.WHEN_UNUSED,
    )
    query = Query(f"sum by (kind) ({rate('mcp_auth_hidden_items_total')})", "{{kind}}")
    return stack(about, query, unit="ops", legends=("tools", "prompts", "resources"))


def lockouts() -> Panel:
    """When clients were locked out."""
    about = About("Lockouts over time", "Clients that are locked out, and new lockouts a minute.", NoData.SIDECAR)
    queries = [
        Query("sum(mcp_auth_locked_clients)", "locked out"),
        Query(f"60 * sum({rate('mcp_auth_lockouts_total')})", "new a minute"),
    ]
    colours = {"locked out": Colour.WARNING, "new a minute": Colour.BAD}
    return lines(about, *queries, unit="none", colours=colours).sized(8)


def refreshes() -> Panel:
    """Whether keys can be fetched."""
    about = About("Key refreshes by result", "Fetches of the issuers' keys a second, of all issuers.", NoData.SIDECAR)
    query = Query(f"sum by (result) ({rate('mcp_auth_jwks_refreshes_total')})", "{{result}}")
    return stack(about, query, unit="ops", legends=("success", "failure")).sized(8)


def key_ages() -> Panel:
    """How fresh each issuer's keys are."""
    about = About(
        "Age of keys by issuer", "Time since the keys of each issuer were last fetched.", "No keys were fetched yet."
    )
    age = "time() - min by (issuer) (mcp_auth_jwks_last_refresh_timestamp_seconds > 0)"
    return lines(about, Query(age, "{{issuer}}"), unit="s").sized(8)


def decision_latency() -> Panel:
    """How long the sidecar thinks."""
    about = About(
        "Decision latency", "Time the sidecar takes to decide: median, 95th and 99th percentile.", NoData.SIDECAR
    )
    return lines(about, *percentiles(DECISION), unit="s", legends=PERCENTILES).sized(8)


def latency_by_mode() -> Panel:
    """Whether forward-auth or proxy is slower."""
    about = About(
        "Latency by mode, p95",
        "Time under which 95 % of the decisions of a mode stay.",
        NoData.SIDECAR,
    )
    return lines(
        about, Query(percentile(0.95, DECISION, by=["mode"]), "{{mode}}"), unit="s", legends=("proxy", "forward")
    ).sized(8)


def decision_heat() -> Panel:
    """How decision times are spread."""
    about = About(
        "Decision latency spread", "Decisions by the time they took: the stronger a cell, the more.", NoData.SIDECAR
    )
    return heat(about, Query(f"sum by (le) ({rate(f'{DECISION}_bucket')})", "{{le}}"), unit="s", counted="ops").sized(8)


def cache() -> Panel:
    """How often a token was known."""
    about = About(
        "Token look-ups by result",
        "Look-ups of tokens a second: a hit was verified before, a miss is verified now.",
        NoData.SIDECAR,
    )
    query = Query(f"sum by (result) ({rate('mcp_auth_token_cache_requests_total')})", "{{result}}")
    return stack(about, query, unit="ops", legends=("hit", "miss")).sized(24, 7)
