"""The sink's pages, for a person: what arrived, newest first, and the pages of PagerDuty as incidents."""

import datetime
from collections.abc import Sequence
from urllib.parse import urlencode

from demo.sink.markup import Html, joined, link, rich, slack_text, tag
from demo.sink.message import Message
from demo.sink.pagerduty import Incident

REFRESH_SECONDS = 10
SHOWN = 100
"""Messages on one page."""

CHANNEL_NAMES = {"slack": "Slack", "pagerduty": "PagerDuty", "email": "E-mail"}
VIEWS = (("All", "/", ""), ("Slack", "/", "slack"), ("E-mail", "/", "email"), ("PagerDuty", "/", "pagerduty"),
         ("Refused", "/", "refused"), ("Incidents", "/pagerduty", ""))  # fmt: skip
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='7' "
    "fill='%23d9480f'/%3E%3Cpath d='M4 8l3 3 5-6' stroke='white' stroke-width='2' fill='none'/%3E%3C/svg%3E"
)


def messages_page(messages: Sequence[Message], view: str, total: int, now: float, *, is_paused: bool) -> str:
    """Return the page of messages; `view` is a channel, `refused` or empty for all."""
    shown = [_card(message, now) for message in list(reversed(messages))[:SHOWN]]
    note = f"{len(messages)} shown of {total}" if len(messages) != total else f"{total} messages"
    if len(messages) > SHOWN:
        note = f"the last {SHOWN} of {len(messages)}"
    return _page("/", view, is_paused, note, joined(*shown) if shown else _nothing(view))


def incidents_page(incidents: Sequence[Incident], now: float, *, is_paused: bool) -> str:
    """Return the page of incidents."""
    opened = sum(incident.is_open for incident in incidents)
    shown = [_incident(incident, now) for incident in incidents[:SHOWN]]
    note = f"{opened} open, {len(incidents) - opened} resolved"
    return _page("/pagerduty", "", is_paused, note, joined(*shown) if shown else _nothing("pagerduty"))


def _page(path: str, view: str, is_paused: bool, note: str, content: Html) -> str:
    refresh = None if is_paused else tag("meta", http_equiv="refresh", content=str(REFRESH_SECONDS))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        refresh,
        tag("title", "Notification sink"),
        tag("link", rel="icon", href=ICON),
        tag("link", rel="stylesheet", href="/page.css"),
    )
    body = tag("body", _header(path, view, is_paused, note), tag("main", content), _footer())
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _header(path: str, view: str, is_paused: bool, note: str) -> Html:
    tabs = [
        tag(
            "a",
            label,
            href=_address(target, name, is_paused),
            aria_current="page" if (target, name) == (path, view) else None,
        )
        for label, target, name in VIEWS
    ]
    state = "paused" if is_paused else f"every {REFRESH_SECONDS} s"
    switch = tag("a", "Go on" if is_paused else "Pause", href=_address(path, view, not is_paused), class_="switch")
    title = tag("h1", "Notification sink ", tag("small", "what Slack, PagerDuty and e-mail would have got"))
    status = tag("p", f"{note} · {state} ", switch, class_="status")
    return tag("header", tag("div", title, status, class_="bar"), tag("nav", *tabs))


def _address(path: str, view: str, is_paused: bool) -> str:
    query = {key: value for key, value in (("channel", view), ("pause", "1" if is_paused else "")) if value}
    return f"{path}?{urlencode(query)}" if query else path


def _footer() -> Html:
    return tag("footer", "The same as JSON: ", tag("a", "/messages", href="/messages"))


def _nothing(view: str) -> Html:
    if view == "refused":
        return tag("p", "Nothing was refused.", class_="empty")
    command = tag("code", "make demo-break FAULT=agent-down")
    return tag("p", "Nothing has arrived yet. Break something: ", command, class_="empty")


def _card(message: Message, now: float) -> Html:
    badges = [_badge(message.channel, CHANNEL_NAMES.get(message.channel, message.channel))]
    if message.refusal:
        badges.append(_badge("refused", "refused"))
    badges += [_badge(word, word) for word in (message.state, message.severity) if word]
    to = tag("span", f"to {message.to}", class_="to") if message.to else None
    top = tag("div", *badges, to, _time(message.received, now), class_="top")
    refused = tag("p", "Refused: ", tag("strong", message.refusal), class_="reason") if message.refusal else None
    return tag(
        "article",
        top,
        tag("h2", message.title),
        refused,
        _gist(message) if message.html else _text(message),
        _fields(message),
        _links(message),
        tag("div", _mail(message), _original(message), class_="folds"),
        class_=f"card {_kind(message)}",
        id=f"message-{message.id}",
    )


def _kind(message: Message) -> str:
    """Return the class that colours a message."""
    if message.refusal:
        return "is-refused"
    return "is-resolved" if message.state == "resolved" else f"is-{message.severity or 'plain'}"


def _text(message: Message) -> Html | None:
    if not message.text:
        return None
    return tag("div", (slack_text if message.channel == "slack" else rich)(message.text), class_="text")


def _gist(message: Message) -> Html | None:
    """Return what the text of a mail says beyond title, fields and links, which the card shows anyway."""
    shown = " ".join([message.title, *(value for _, value in message.fields)])
    named = tuple(f"{label}:" for label, _ in (*message.fields, *message.links))
    lines = (line.strip() for line in message.text.splitlines())
    kept = [line for line in lines if not line.startswith(named) and line.removeprefix("* ") not in shown]
    said = "\n".join(line for line in kept if line.removeprefix("since ") not in shown)
    return tag("div", rich(said), class_="text") if said else None


def _fields(message: Message) -> Html | None:
    if not message.fields:
        return None
    return tag("dl", *(tag("div", tag("dt", label), tag("dd", rich(value))) for label, value in message.fields))


def _links(message: Message) -> Html | None:
    if not message.links:
        return None
    return tag("div", *(link(label, address, "button") for label, address in message.links), class_="links")


def _mail(message: Message) -> Html | None:
    """Return both parts of a mail to unfold, its HTML in a frame that runs nothing and loads nothing."""
    if not message.html:
        return None
    frame = tag(
        "iframe",
        src=f"/messages/{message.id}/html",
        sandbox="allow-popups allow-popups-to-escape-sandbox",
        loading="lazy",
        title="The mail as its reader sees it",
    )
    text = tag("details", tag("summary", "As text"), _text(message))
    return joined(tag("details", tag("summary", "As mail"), frame), text)


def _original(message: Message) -> Html | None:
    if not message.raw:
        return None
    return tag("details", tag("summary", "Original"), tag("pre", message.raw))


def _incident(incident: Incident, now: float) -> Html:
    first, last = incident.first, incident.last
    state = "open" if last.state == "firing" else last.state
    badges = [_badge(first.state if incident.is_open else last.state, state)]
    badges += [_badge(first.severity, first.severity)] if first.severity else []
    until = now if incident.is_open else last.received
    events = f"{incident.events} event{'s' if incident.events != 1 else ''}"
    span = f"{'open for' if incident.is_open else 'took'} {_duration(until - first.received)} · {events}"
    ended = None if incident.is_open else joined("resolved ", _moment(last.received))
    return tag(
        "article",
        tag("div", *badges, tag("span", span, class_="to"), _time(first.received, now), class_="top"),
        tag("h2", first.title),
        tag("p", "triggered ", _moment(first.received), Html(" · ") if ended else None, ended, class_="span"),
        _text(first),
        _fields(first),
        _links(first),
        tag("p", "dedup key ", tag("code", first.dedup_key), class_="key"),
        class_=f"card {_kind(first) if incident.is_open else 'is-resolved'}",
    )


def _badge(kind: str, label: str) -> Html:
    return tag("span", label, class_=f"badge b-{kind}")


def _time(moment: float, now: float) -> Html:
    ago = now - moment
    return tag("span", "just now" if ago < 1 else f"{_duration(ago)} ago", " · ", _moment(moment), class_="when")


def _moment(moment: float) -> Html:
    stamp = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    is_today = stamp.date() == datetime.datetime.now(datetime.UTC).date()
    return tag(
        "time", f"{stamp:%H:%M:%S} UTC" if is_today else f"{stamp:%d %b %H:%M:%S} UTC", datetime=stamp.isoformat()
    )


def _duration(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
