"""promtool unit tests from the cases that stand by hand in the policies: what they expect is never computed."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus

from contract.fields import format_duration
from rules import conventions
from rules.links import Links
from rules.pack import Pack
from rules.policy import Case, ExpectedAlert, Policy


def test_files(pack: Pack, links: Links) -> dict[str, dict[str, Any]]:
    """Return the content of every promtool test file by its name."""
    return {
        f"{policy.name}.yaml": {"rule_files": [f"../{policy.name}.yaml"], **test_file(policy, links)}
        for policy in pack
        if policy.terms.tests
    }


def test_file(policy: Policy, links: Links) -> dict[str, Any]:
    """Return the tests of a policy, without the rule file that they are about."""
    return {
        "evaluation_interval": conventions.EVALUATION_INTERVAL,
        "tests": [_test(policy, name, case, links) for name, case in policy.terms.tests.items()],
    }


def _test(policy: Policy, name: str, case: Case, links: Links) -> dict[str, Any]:
    return {
        "name": f"{policy.name}: {name}",
        "interval": format_duration(case.interval),
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "alert_rule_test": [
            {"eval_time": format_duration(at), "alertname": policy.alert, "exp_alerts": expected}
            for at, expected in sorted(_expectations(policy, case, links), key=lambda pair: pair[0])
        ],
    }


def _expectations(policy: Policy, case: Case, links: Links) -> Iterator[tuple[float, list[dict[str, Any]]]]:
    for at in (*case.silent_at, *case.resolved_at):
        yield at, []
    for at in case.fires_at:
        yield at, [_alert(policy, alert, links) for alert in case.alerts]


def _alert(policy: Policy, alert: ExpectedAlert, links: Links) -> dict[str, Any]:
    def value(label: str) -> str:
        return quote_plus(alert.labels.get(label, ""))

    texts = {"summary": alert.summary, "description": alert.description}
    return {
        "exp_labels": alert.labels,
        "exp_annotations": {**texts, **policy.annotations(), **links.annotations(policy, value)},
    }
