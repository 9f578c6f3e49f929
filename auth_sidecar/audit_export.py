"""Audit records for security tools: OCSF 1.3 (Authentication 3002, API Activity 6003) and Elastic Common Schema 8."""

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from contract.web import release

Fields = Mapping[str, Any]
_USER_TYPES = {"person": (1, "User"), "agent": (3, "System"), "service": (3, "System")}


def to_ocsf(record: Fields) -> dict[str, Any]:
    """Return a record as an OCSF event."""
    is_api = str(record["event"]).startswith("authz_")
    is_allowed = record["event"] in ("authz_allow", "auth_success")
    class_uid, activity = (6003, 99) if is_api else (3002, 1)
    event: dict[str, Any] = {
        "category_uid": class_uid // 1000,
        "class_uid": class_uid,
        "activity_id": activity,
        "activity_name": str(record.get("method") or "Logon") if is_api else "Logon",
        "type_uid": class_uid * 100 + activity,
        "severity_id": 1 if is_allowed else 3,
        "status_id": 1 if is_allowed else 2,
        "status_detail": record.get("reason", ""),
        "time": round(_moment(record).timestamp() * 1000),
        "metadata": {
            "version": "1.3.0",
            "product": {"name": "MCP Lookout auth sidecar", "vendor_name": "MCP Lookout", "version": release()},
            "sequence": record["seq"],
            "uid": record["mac"],
            "profiles": ["security_control"],
        },
        "action_id": 1 if is_allowed else 2,
        "src_endpoint": {"ip": record.get("client", "")},
        "unmapped": {name: record[name] for name in ("mode", "permission", "rule", "role", "shadow") if name in record},
    }
    if is_api:
        event["api"] = {"operation": _operation(record), "service": {"name": record.get("agent", "")}}
        event["actor"] = {"user": _ocsf_user(record)}
    else:
        event["user"] = _ocsf_user(record)
        event["service"] = {"name": record.get("agent", "")}
    return event


def to_ecs(record: Fields) -> dict[str, Any]:
    """Return a record in the Elastic Common Schema."""
    is_allowed = record["event"] in ("authz_allow", "auth_success")
    is_admin = record["event"] == "admin"
    return {
        "@timestamp": record["ts"],
        "ecs": {"version": "8.17.0"},
        "event": {
            "kind": "event",
            "category": ["configuration" if is_admin else "authentication"],
            "type": ["change"] if is_admin else ["allowed" if is_allowed else "denied"],
            "outcome": "success" if is_allowed or is_admin else "failure",
            "action": _operation(record) or record.get("action", record["event"]),
            "reason": record.get("reason", ""),
            "sequence": record["seq"],
            "hash": record["mac"],
            "dataset": "mcp_lookout.audit",
            "provider": "auth_sidecar",
        },
        "source": {"ip": record.get("client", "")},
        "user": {
            "id": record.get("actor", ""),
            "domain": record.get("issuer", ""),
            "roles": list(record.get("roles", ())),
        },
        "service": {"name": record.get("agent", ""), "type": record.get("agent_type", "")},
        "http": {"request": {"method": record.get("http_method", ""), "id": record.get("request_id", "")}},
        "rule": {"name": record.get("rule", "")},
    }


FORMATS: Mapping[str, Callable[[Fields], Fields]] = {"native": lambda record: record, "ocsf": to_ocsf, "ecs": to_ecs}
"""Output forms by the name that the command line takes."""


def _moment(record: Fields) -> datetime.datetime:
    return datetime.datetime.fromisoformat(str(record["ts"]))


def _operation(record: Fields) -> str:
    return " ".join(str(record[name]) for name in ("method", "name") if record.get(name))


def _ocsf_user(record: Fields) -> dict[str, Any]:
    kind_id, kind = _USER_TYPES.get(str(record.get("actor_kind")), (0, "Unknown"))
    user = {"name": record.get("actor", ""), "type_id": kind_id, "type": kind, "domain": record.get("issuer", "")}
    return user | {"groups": [{"name": role} for role in record.get("roles", ())]}
