"""The same routes and receivers as an AlertmanagerConfig of the Prometheus operator.

Secrets are keys of the Secret `mcp-lookout`; the templates must be mounted by the Alertmanager object.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

_MATCHER = re.compile(r'(?P<name>\w+)(?P<matchType>=~|!~|!=|=)"(?P<value>.*)"')
_SECRET = "mcp-lookout"  # noqa: S105 - the name of an object, not a secret


def alertmanager_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object for a rendered alertmanager.yml."""
    spec = {
        "route": _route(config["route"]),
        "inhibitRules": [_inhibition(rule) for rule in config["inhibit_rules"]],
        "receivers": [_receiver(receiver, config["global"]) for receiver in config["receivers"]],
        "muteTimeIntervals": [_interval(interval) for interval in config.get("time_intervals", ())],
    }
    return {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "AlertmanagerConfig",
        "metadata": {"name": "mcp-lookout", "labels": {"app.kubernetes.io/part-of": "mcp-lookout"}},
        "spec": {key: value for key, value in spec.items() if value},
    }


def _route(route: Mapping[str, Any]) -> dict[str, Any]:
    written = {_camel(key): value for key, value in route.items() if key not in ("matchers", "routes")}
    if "matchers" in route:
        written["matchers"] = [_matcher(text) for text in route["matchers"]]
    if "routes" in route:
        written["routes"] = [_route(child) for child in route["routes"]]
    return written


def _inhibition(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "sourceMatch": [_matcher(text) for text in rule["source_matchers"]],
        "targetMatch": [_matcher(text) for text in rule["target_matchers"]],
        "equal": rule["equal"],
    }


def _matcher(text: str) -> dict[str, str]:
    found = _MATCHER.fullmatch(text)
    assert found is not None, text  # noqa: S101 - written by routing.py
    return found.groupdict()


def _receiver(receiver: Mapping[str, Any], smtp: Mapping[str, Any]) -> dict[str, Any]:
    writers = {"slack_configs": _slack, "pagerduty_configs": _pagerduty, "webhook_configs": _webhook}
    written: dict[str, Any] = {"name": receiver["name"]}
    for key, write in writers.items():
        if key in receiver:
            written[_camel(key)] = [write(target) for target in receiver[key]]
    if "email_configs" in receiver:
        written["emailConfigs"] = [_email(target, smtp) for target in receiver["email_configs"]]
    return written


def _slack(target: Mapping[str, Any]) -> dict[str, Any]:
    return {**_plain(target, "api_url_file"), "apiURL": _secret(target["api_url_file"])}


def _pagerduty(target: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_plain(target, "routing_key_file", "client_url", "details", "links"),
        "routingKey": _secret(target["routing_key_file"]),
        "clientURL": target["client_url"],
        "details": _pairs(target["details"]),
        "pagerDutyLinkConfigs": [{"href": link["href"], "alt": link["text"]} for link in target["links"]],
    }


def _email(target: Mapping[str, Any], smtp: Mapping[str, Any]) -> dict[str, Any]:
    login = {}
    if "smtp_auth_password_file" in smtp:
        login = {
            "authUsername": smtp.get("smtp_auth_username", ""),
            "authPassword": _secret(smtp["smtp_auth_password_file"]),
        }
    return {
        **_plain(target, "headers"),
        "headers": _pairs(target["headers"]),
        "from": smtp["smtp_from"],
        "smarthost": smtp["smtp_smarthost"],
        "requireTLS": smtp["smtp_require_tls"],
        **login,
    }


def _webhook(target: Mapping[str, Any]) -> dict[str, Any]:
    written = _plain(target, "http_config")
    if "http_config" in target:
        file = target["http_config"]["authorization"]["credentials_file"]
        written["httpConfig"] = {"authorization": {"type": "Bearer", "credentials": _secret(file)}}
    return written


def _interval(interval: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": interval["name"], "timeIntervals": [_part(part) for part in interval["time_intervals"]]}


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if "times" in part:
        written["times"] = [{"startTime": span["start_time"], "endTime": span["end_time"]} for span in part["times"]]
    if "days_of_month" in part:
        written["daysOfMonth"] = [_days(text) for text in part["days_of_month"]]
    written |= {key: part[key] for key in ("weekdays", "months", "years") if key in part}
    return written


def _days(text: str) -> dict[str, int]:
    start, _, end = text.partition(":")
    return {"start": int(start), "end": int(end or start)}


def _plain(target: Mapping[str, Any], *handled: str) -> dict[str, Any]:
    return {_camel(key): value for key, value in target.items() if key not in handled}


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _secret(path: str) -> dict[str, str]:
    return {"name": _SECRET, "key": PurePosixPath(path).name}


def _camel(key: str) -> str:
    head, *rest = key.split("_")
    return head + "".join(word.capitalize() for word in rest)
