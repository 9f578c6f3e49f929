"""What Alertmanager needs to know of each channel: one function a kind of receiver."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from alertmanager.receivers import Channel, Email, PagerDuty, Slack, Smtp, Webhook


def _template(name: str) -> str:
    return '{{ template "lookout.' + name + '" . }}'


_PAGES = (("Runbook", "runbook"), ("Dashboard", "dashboard"))
_LINKS = (
    *_PAGES,
    (_template("acknowledge.text"), "acknowledge"),
    ("Alertmanager", "alertmanager"),
    ("Silence", "silence"),
)
_TEXT = "\t"
"""Before foreign text in PagerDuty's details. Alertmanager reads them as YAML and runs the parts as templates again:
names such as `42` would become numbers, one with braces may keep a page from being sent. No YAML begins with a tab."""
_BUTTONS = (*_PAGES, (_template("acknowledge.text"), "acknowledge"), (_template("slack.last"), "slack.last.url"))


def slack(target: Slack) -> dict[str, Any]:
    """Return a Slack receiver: one attachment with the facts as fields and the links as buttons, all values escaped."""
    return {
        "channel": target.channel,
        "api_url_file": target.api_url_file,
        "send_resolved": True,
        "username": "MCP Lookout",
        "color": _template("slack.color"),
        "fallback": _template("slack.title"),
        "title": _template("slack.title"),
        "title_link": _template("alertmanager"),
        "text": _template("slack.text"),
        # Of text as it stands, Slack makes bold *names* and slanted _names_; our own has no pretext.
        "mrkdwn_in": ["pretext"],
        "fields": [
            {"title": "Severity", "value": _template("slack.severity"), "short": True},
            {"title": "Component", "value": _template("slack.component"), "short": True},
            {"title": "Where", "value": _template("slack.where"), "short": True},
            {"title": "Alert since", "value": _template("since"), "short": True},
        ],
        "actions": [{"type": "button", "text": text, "url": _template(name)} for text, name in _BUTTONS],
        "footer": "MCP Lookout",
    }


def pagerduty(target: PagerDuty) -> dict[str, Any]:
    """Return a PagerDuty receiver; Alertmanager makes the dedup key from the group, so an incident keeps its key."""
    details = ("severity", "component", "escalation", "runbook", "dashboard")
    texts = {"where": "where", "firing": "pagerduty.firing", "resolved": "pagerduty.resolved"}
    return {
        "routing_key_file": target.routing_key_file,
        "url": target.url,
        "send_resolved": True,
        "client": "MCP Lookout",
        "client_url": _template("alertmanager"),
        "description": _template("title"),
        "severity": _template("pagerduty.severity"),
        "class": "{{ .CommonLabels.alertname }}",
        "component": _template("component"),
        "group": "{{ .CommonLabels.agent_type }}{{ .CommonLabels.workflow }}",
        "details": {
            **{name: _template(name) for name in details},
            "alert since": _template("since"),
            **{name: _TEXT + _template(template) for name, template in texts.items()},
        },
        "links": [{"href": _template(name), "text": text} for text, name in _LINKS],
    }


def email(target: Email) -> dict[str, Any]:
    """Return an e-mail receiver, in HTML and in text, that also tells of the end."""
    return {
        "to": ", ".join(target.to),
        "send_resolved": True,
        "headers": {"Subject": _template("title")},
        "html": _template("email.html"),
        "text": _template("email.text"),
    }


def webhook(target: Webhook) -> dict[str, Any]:
    """Return a webhook receiver."""
    token = {"http_config": {"authorization": {"credentials_file": target.token_file}}} if target.token_file else {}
    return {"url": target.url, "send_resolved": True, "max_alerts": 200, **token}


def desk(target: Webhook) -> dict[str, Any]:
    """Return the webhook of the incident desk, which is told of all alerts of a group however many they are."""
    return {**webhook(target), "max_alerts": 0}


_WRITERS: Mapping[str, Callable[[Any], dict[str, Any]]] = MappingProxyType(
    {"slack": slack, "pagerduty": pagerduty, "email": email, "webhook": webhook}
)


def receiver(name: str, channel: Channel) -> dict[str, Any]:
    """Return the receiver of a channel."""
    written = {
        f"{kind}_configs": [write(target) for target in getattr(channel, kind)] for kind, write in _WRITERS.items()
    }
    return {"name": name, **{kind: configs for kind, configs in written.items() if configs}}


def smtp(server: Smtp) -> dict[str, Any]:
    """Return the global settings of a mail server."""
    login = {"smtp_auth_username": server.username, "smtp_auth_password_file": server.password_file}
    return {
        "smtp_smarthost": server.smarthost,
        "smtp_from": server.sender,
        "smtp_require_tls": server.require_tls,
        **{key: value for key, value in login.items() if value},
    }
