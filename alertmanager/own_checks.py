"""What else in an alertmanager.yml keeps messages from people: receivers, hours, inhibitions, the incident desk."""

from collections.abc import Iterator

from alertmanager import reach
from alertmanager.desk_routing import DESK
from alertmanager.own_config import Inhibition
from alertmanager.reach import Alert, Tree
from contract.config import Finding
from contract.vocabulary import Severity
from rules.escalation import ALERT, Escalations
from rules.facts import Facts
from rules.policy import Policy


def receivers(tree: Tree, facts: Facts, escalations: Escalations) -> Iterator[Finding]:
    """Find receivers that are not defined, and those that must tell somebody and do not."""
    config = tree.config
    used = dict.fromkeys(route.receiver for path in config.walk() for route in path if route.receiver)
    for name in used:
        if config.receiver(name) is None:
            yield Finding(("receivers",), f"there is no receiver {name}, but a route names it", "define it")
    channels = {channel for policy in facts.pack for channel in policy.terms.channels}
    channels |= {each for stages in escalations.escalations.values() for stage in stages for each in stage.channels}
    for index, receiver in enumerate(config.receivers):
        if receiver.name in channels | {DESK} and not receiver.tells_somebody:
            mend = "give it slack_configs, email_configs, webhook_configs or another integration"
            yield Finding(("receivers", index), f"{receiver.name} tells nobody", mend)


def intervals(tree: Tree) -> Iterator[Finding]:
    """Find time intervals that routes name and nobody defines."""
    known = tree.config.intervals()
    routes = [path[-1] for path in tree.config.walk()]
    for name in dict.fromkeys(
        name for each in routes for name in (*each.mute_time_intervals, *each.active_time_intervals)
    ):
        if name not in known:
            yield Finding(("route",), f"there is no time interval {name}, but a route names it", "define it")


def inhibitions(tree: Tree, facts: Facts) -> Iterator[Finding]:
    """Find rules by which one policy's alerts silence another's, whatever their labels, though no policy says so."""
    alerts = [(policy, reach.alert_of(policy, facts)) for policy in facts.pack]
    for index, rule in enumerate(tree.config.inhibit_rules):
        silenced = {
            (cause.alert, symptom.alert)
            for cause, source in alerts
            for symptom, target in alerts
            if cause is not symptom
            and symptom.terms.channels
            and symptom.name not in cause.terms.inhibits
            and _silences(rule, source, target)
        }
        if silenced:
            causes, symptoms = (sorted(set(each)) for each in zip(*silenced, strict=True))
            message = f"while {_some(causes)} fires, {_some(symptoms)} reaches nobody"
            mend = "narrow it by `equal`, or say it in the policy: inhibits"
            yield Finding(("inhibit_rules", index), message, mend)


def _silences(rule: Inhibition, source: Alert, target: Alert) -> bool:
    if source.example(rule.sources()) is None or target.example(rule.targets()) is None:
        return False
    # Alertmanager leaves alone what is source and target at once.
    if target.example(rule.sources()) is not None and source.example(rule.targets()) is not None:
        return False
    return all(
        label not in {*source.open, *target.open} and source.labels.get(label) == target.labels.get(label)
        for label in rule.equal
    )


def _some(names: list[str]) -> str:
    others = len(names) - 1
    return names[0] + ("" if not others else " or another" if others == 1 else f" or one of {others} others")


def desk(tree: Tree, facts: Facts, escalations: Escalations) -> Iterator[Finding]:
    """Find alerts that the incident desk does not hear of, and escalations that do not reach their channels."""
    deaf = [policy for policy in facts.pack if policy.terms.channels and not _hears(tree, policy, facts)]
    if deaf:
        names = _some([policy.alert for policy in deaf])
        mend = f"route it to {DESK} too, with `continue: true` on the routes before"
        yield Finding(("route",), f"the incident desk does not hear of {names}: no history, no escalation", mend)
    for word, stages in escalations.escalations.items():
        open_labels = _labels_of_incidents(facts, word.value)
        for stage in stages:
            alert = Alert({"alertname": ALERT, "escalation": word.value, "stage": stage.name}, open_labels)
            for severity in Severity:
                wrong = next(reach.astray(tree, alert.with_labels(severity=severity.value), stage.channels), None)
                if wrong:
                    yield Finding(("route",), f"{ALERT} ({word.value}, {stage.name}) {wrong[0]}", wrong[1])
                    break


def _hears(tree: Tree, policy: Policy, facts: Facts) -> bool:
    alert = reach.alert_of(policy, facts)
    cases = [alert.with_labels(severity=severity.value) for severity in Severity]
    return all(DESK in tree.told(labels) for case in cases for labels in tree.examples(case))


def _labels_of_incidents(facts: Facts, escalation: str) -> dict[str, tuple[str, ...]]:
    """Return the labels that an escalation can have from the alerts that it is about."""
    alerts = [reach.alert_of(each, facts) for each in facts.pack if each.terms.escalation.value == escalation]
    names = {label for alert in alerts for label in (*alert.open, *alert.labels)}
    return dict.fromkeys(sorted(names - {"alertname", "severity", "escalation"}), ())
