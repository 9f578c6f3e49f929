"""The operator's objects hold the same rules, scrapes and routes as the files; Prometheus' relatives take the rules."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from alertmanager import kubernetes
from tests.rules.test_promtool import Release, both_releases, promtool
from tests.tools import tool

RULES = Path("rules/generated")
OBJECTS = RULES / "kubernetes"
ROUTES = Path("alertmanager/generated/kubernetes/alertmanagerconfig.yaml")
CONFIG: dict[str, Any] = yaml.safe_load(Path("alertmanager/generated/alertmanager.yml").read_text())


def loaded(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


@both_releases
def test_the_prometheus_rule_holds_every_group_and_promtool_accepts_it(tmp_path: Path, release: Release) -> None:
    rule = loaded(OBJECTS / "prometheusrule.yaml")
    groups = [group for file in RULES.glob("*.yaml") for group in loaded(file)["groups"]]
    assert sorted(map(str, rule["spec"]["groups"])) == sorted(map(str, groups))
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    done = promtool(release, "check", "rules", tmp_path / "rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("job", "name"),
    [
        ("exporter", "mcp-lookout-exporter"),
        ("auth-sidecar", "mcp-lookout-sidecar"),
        ("incident-desk", "mcp-lookout-incident-desk"),
    ],
)
def test_service_monitors_scrape_as_prometheus_yml_does(job: str, name: str) -> None:
    [scrape] = [each for each in loaded(Path("rules/prometheus.yml"))["scrape_configs"] if each["job_name"] == job]
    spec = loaded(OBJECTS / f"{name}.yaml")["spec"]
    [endpoint] = spec["endpoints"]
    assert endpoint["interval"] == scrape.get("scrape_interval", "15s")
    assert endpoint["scrapeTimeout"] == scrape.get("scrape_timeout", "10s")
    assert (spec["sampleLimit"], spec["bodySizeLimit"]) == (scrape["sample_limit"], scrape["body_size_limit"])
    assert {"action": "replace", "targetLabel": "job", "replacement": job} in endpoint["relabelings"]


def test_the_alertmanager_config_has_the_same_routes_receivers_and_inhibitions() -> None:
    spec = loaded(ROUTES)["spec"]

    def told(route: dict[str, Any]) -> list[object]:
        return [route.get("receiver"), route.get("continue"), *(told(child) for child in route.get("routes", ()))]

    assert told(spec["route"]) == told(CONFIG["route"])
    assert [each["name"] for each in spec["receivers"]] == [each["name"] for each in CONFIG["receivers"]]
    assert len(spec["inhibitRules"]) == len(CONFIG["inhibit_rules"])
    [matcher] = spec["route"]["routes"][1]["matchers"]
    assert matcher == {"name": "alertname", "matchType": "=", "value": "AgentDown"}


def test_secrets_become_keys_of_a_kubernetes_secret() -> None:
    by_name = {receiver["name"]: receiver for receiver in loaded(ROUTES)["spec"]["receivers"]}
    assert by_name["slack"]["slackConfigs"][0]["apiURL"] == {"name": "mcp-lookout", "key": "slack_url"}
    key = {"name": "mcp-lookout", "key": "pagerduty_routing_key"}
    assert by_name["pagerduty"]["pagerdutyConfigs"][0]["routingKey"] == key
    assert "/etc/alertmanager" not in ROUTES.read_text()


def test_intervals_passwords_and_tokens_are_translated() -> None:
    token = {"url": "https://x", "http_config": {"authorization": {"credentials_file": "/a/secrets/token"}}}
    part = {"times": [{"start_time": "09:00", "end_time": "18:00"}], "days_of_month": ["1:3", "5"], "years": ["2026"]}
    spec = kubernetes.alertmanager_config(
        {
            "global": {
                "smtp_from": "a@b",
                "smtp_smarthost": "m:25",
                "smtp_require_tls": True,
                "smtp_auth_username": "u",
                "smtp_auth_password_file": "/a/secrets/mail",
            },
            "route": {"receiver": "r"},
            "inhibit_rules": [],
            "time_intervals": [{"name": "window", "time_intervals": [part]}],
            "receivers": [
                {"name": "r", "webhook_configs": [token], "email_configs": [{"to": "c@d", "headers": {"Subject": "s"}}]}
            ],
        }
    )["spec"]
    [receiver] = spec["receivers"]
    credentials = receiver["webhookConfigs"][0]["httpConfig"]["authorization"]["credentials"]
    assert credentials == {"name": "mcp-lookout", "key": "token"}
    assert receiver["emailConfigs"][0]["authPassword"] == {"name": "mcp-lookout", "key": "mail"}
    assert receiver["emailConfigs"][0]["headers"] == [{"key": "Subject", "value": "s"}]
    [interval] = spec["muteTimeIntervals"]
    assert interval["timeIntervals"] == [
        {
            "times": [{"startTime": "09:00", "endTime": "18:00"}],
            "daysOfMonth": [{"start": 1, "end": 3}, {"start": 5, "end": 5}],
            "years": ["2026"],
        }
    ]


def test_mimir_takes_every_group_within_its_default_limits() -> None:
    # ruler_max_rules_per_rule_group and ruler_max_rule_groups_per_tenant; its rules are Prometheus' otherwise.
    groups = [group for file in RULES.glob("*.yaml") for group in loaded(file)["groups"]]
    assert max(len(group["rules"]) for group in groups) <= 20
    assert len(groups) <= 70
    assert len({group["name"] for group in groups}) == len(groups)


def test_vmalert_accepts_every_rule_and_template() -> None:
    command: list[str | Path] = [tool("vmalert"), "-dryRun", f"-rule={RULES}/*.yaml", "-rule.validateTemplates=true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"found {len(list(RULES.glob('*.yaml')))} files" in done.stderr
