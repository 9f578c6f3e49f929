"""Audit: is every decision written down, and is what was written still whole."""

from contract.vocabulary import AuditEvent
from dashboards.board import Board, Row
from dashboards.conventions import Colour, NoData, two_by_result
from dashboards.fields import Column
from dashboards.panels import About, Empty, Panel, lines, number, rows, stack, state
from dashboards.queries import Query, rate

OF_DECISIONS = 'mcp_audit_events_total{event!="admin"}'
RECORDS = "suffix:records/s"
INTACT = {"0": ("intact", Colour.GOOD), "1": ("broken", Colour.BAD)}


def board() -> Board:
    """Return the dashboard of the audit log."""
    return Board(
        name="audit",
        title="Audit",
        description="Records written, length and head of the chain as scraped, verification, write errors, keys.",
        filters=[],
        rows=[
            Row([chain_state(), chain_length(), unverified(), write_errors(), event_rate(), key_age()]),
            Row([events(), completeness(), growth(), heads()], "Chain"),
            Row([encryption(), keys()], "Encryption"),
        ],
        marked='component="security"',
    )


def chain_state() -> Panel:
    """Whether the chain holds."""
    about = About(
        "Audit chain",
        "What the background verifier says of the chain. Broken: records were altered, removed or lost.",
        NoData.SIDECAR,
    )
    return state(about, Query("max(mcp_audit_chain_broken)"), INTACT)


def chain_length() -> Panel:
    """How much is in the chain."""
    about = About("Records in all", "Records in the audit chains of all sidecars. It only ever grows.", NoData.SIDECAR)
    return number(about, Query("sum(mcp_audit_chain_length)"), unit="short")


def unverified() -> Panel:
    """How far the verifier is behind."""
    about = About("Unverified records", "Records that the background verifier has still to look at.", NoData.SIDECAR)
    return number(about, Query("sum(mcp_audit_chain_length) - sum(mcp_audit_verified_length)"), unit="short")


def write_errors() -> Panel:
    """Whether records were lost."""
    about = About("Unwritten records", "Records that could not be written, in the chosen time range.", NoData.SIDECAR)
    query = Query("sum(increase(mcp_audit_write_errors_total[$__range]))")
    return number(about, query, unit="none", steps=[(1, Colour.BAD)])


def event_rate() -> Panel:
    """How much is written."""
    about = About("Records written", "Audit records written, a second.", NoData.SIDECAR)
    return number(about, Query(f"sum({rate('mcp_audit_events_total')})"), unit=RECORDS)


def key_age() -> Panel:
    """How old the oldest key is."""
    about = About(
        "Age of the oldest key",
        "Age of the oldest key of the ring that seals sensitive fields.",
        "No encryption key: sensitive fields are not sealed by this configuration.",
        Empty.WHEN_UNUSED,
    )
    return number(about, Query("max(mcp_encryption_key_age_seconds)"), unit="s")


def events() -> Panel:
    """What is written."""
    about = About("Records by event", "Audit records written, a second, by what they tell of.", NoData.SIDECAR)
    query = Query(f"sum by (event) ({rate('mcp_audit_events_total')})", "{{event}}")
    return stack(about, query, unit=RECORDS, legends=tuple(AuditEvent))


def completeness() -> Panel:
    """Whether decisions and records agree."""
    about = About(
        "Decisions and their records",
        "Decisions and the audit records of decisions, a second. The lines lie on each other: one record a decision.",
        NoData.SIDECAR,
    )
    decisions = f"sum({rate('mcp_auth_decision_duration_seconds_count')})"
    records = f"sum({rate(OF_DECISIONS)})"
    return lines(
        about, Query(decisions, "decisions"), Query(records, "records"), unit="ops", legends=("decisions", "records")
    )


def growth() -> Panel:
    """How the chain grows and is verified."""
    about = About(
        "Chain length and verified length",
        "Length of each chain (one a worker) and how far it is verified. A length that falls means that it was cut.",
        NoData.SIDECAR,
    )
    queries = [
        Query("max by (instance, chain) (mcp_audit_chain_length)", "{{instance}} chain {{chain}} length"),
        Query("max by (instance, chain) (mcp_audit_verified_length)", "{{instance}} chain {{chain}} verified"),
    ]
    return lines(about, *queries, unit="short").sized(10)


def heads() -> Panel:
    """What Prometheus bears witness to."""
    about = About(
        "Chain heads as scraped",
        "Length and first 52 bits of the head hash of each chain: what the verify command compares the log with.",
        NoData.SIDECAR,
    )
    queries = [
        Query(f"max by (instance, chain) ({name})") for name in ("mcp_audit_chain_length", "mcp_audit_chain_head")
    ]
    columns = [
        Column("instance", "Sidecar"),
        Column("chain", "Chain", width=55),
        Column("Value #A", "Length", unit="none", width=78),
        Column("Value #B", "Head", unit="none", width=152),
    ]
    return rows(about, columns, *queries).sized(14, 9)


def encryption() -> Panel:
    """How sealing goes."""
    about = About(
        "Sealing and opening",
        "Sensitive fields sealed and opened, a second, by result.",
        "No field was sealed yet.",
        Empty.WHEN_UNUSED,
    )
    query = Query(f"sum by (operation, result) ({rate('mcp_encryption_operations_total')})", "{{operation}} {{result}}")
    return stack(about, query, unit="ops", colours=two_by_result("encrypt", "decrypt"))


def keys() -> Panel:
    """Which keys are in use."""
    about = About(
        "Encryption keys",
        "Keys of the ring, what they may seal, and their age.",
        "No encryption key: sensitive fields are not sealed by this configuration.",
        Empty.WHEN_UNUSED,
    )
    columns = [Column("key_id", "Key"), Column("classification", "Classification"), Column("Value", "Age", unit="s")]
    return rows(about, columns, Query("max by (key_id, classification) (mcp_encryption_key_age_seconds)")).sized(12, 9)
