"""What is committed is what is generated, and the command says where it is not."""

import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest

from contract.vocabulary import AuditEvent
from dashboards.__main__ import POLICIES, files, main
from dashboards.conventions import DATASOURCE_UID, FOLDER, REFUSED_RECORDS, TROUBLE
from dashboards.overview import SCORE_STEPS
from dashboards.queries import TRACED
from exporter.health.score import DEGRADED_FROM, HEALTHY_FROM
from rules import pack
from tests.dashboards.reading import GENERATED, NAMES, board, panels, targets

LINK = r"/d/mcp-lookout-(\w+)\?var-(\w+)=\$\{__value\.raw:percentencode\}&\$\{__url_time_range\}"
BUNDLED = {"stat", "bargauge", "timeseries", "state-timeline", "heatmap", "table", "row"}
"""Panel types that every Grafana from 11 on brings along."""


def test_committed_dashboards_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_generation_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    assert files(tmp_path, POLICIES) == files(tmp_path, POLICIES)


def test_a_changed_dashboard_is_reported_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--output", str(tmp_path)]) == 0
    changed = tmp_path / "overview.json"
    changed.write_text(changed.read_text().replace("Fleet overview", "Mine"))

    assert main(["--check", "--output", str(tmp_path)]) == 1
    assert '-  "title": "Mine"' in capsys.readouterr().out
    assert main(["--output", str(tmp_path)]) == 0
    assert main(["--check", "--output", str(tmp_path)]) == 0


def test_a_dashboard_that_is_no_longer_made_is_removed(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"uid": "mcp-lookout-old"}')
    (tmp_path / "mine.json").write_text('{"uid": "mcp-lookout-old"}')

    assert main(["--output", str(tmp_path)]) == 0
    assert not (tmp_path / "old.json").exists()
    assert (tmp_path / "mine.json").exists()


def test_a_moved_threshold_moves_on_every_dashboard(tmp_path: Path) -> None:
    policies = tmp_path / "policies"
    shutil.copytree(POLICIES, policies)
    security = policies / "security.yaml"
    security.write_text(security.read_text().replace("above: 10\n", "above: 40\n"))

    written = files(tmp_path, policies)

    for name in ("overview", "security"):
        shown = next(
            panel
            for panel in json.loads(written[tmp_path / f"{name}.json"])["panels"]
            if panel["title"] == "Failed authentications"
        )
        assert shown["fieldConfig"]["defaults"]["thresholds"]["steps"][1] == {"color": "dark-red", "value": 41.0}


def test_broken_policies_end_with_their_problems_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "agents.yaml").write_text("component: nothing\npolicies: {}\n")

    with pytest.raises(SystemExit) as ended:
        main(["--policies", str(tmp_path), "--output", str(tmp_path / "out")])

    assert ended.value.code == 2
    assert "agents.yaml:1: component" in capsys.readouterr().err


def test_a_policy_that_a_dashboard_needs_is_named_when_it_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policies = tmp_path / "policies"
    shutil.copytree(POLICIES, policies)
    (policies / "security.yaml").unlink()

    with pytest.raises(SystemExit) as ended:
        main(["--policies", str(policies), "--output", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert "policy security_breach is gone" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_needs_no_plugin_that_grafana_does_not_bundle(name: str) -> None:
    assert {panel["type"] for panel in board(name)["panels"]} <= BUNDLED
    assert "__inputs" not in board(name)
    assert "${DS_" not in (GENERATED / f"{name}.json").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_says_why_it_may_be_empty(name: str) -> None:
    for panel in panels(name):
        told = panel["description"] if panel["type"] == "stat" else panel["fieldConfig"]["defaults"]["noValue"]
        assert told.endswith(("?", ".")), panel["title"]
        assert panel["type"] != "stat" or "without data: " in told, panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_every_dashboard_has_a_stable_uid_a_crosshair_and_links_that_keep_variables(name: str) -> None:
    model = board(name)

    assert model["uid"] == f"mcp-lookout-{name}"
    assert model["graphTooltip"] == 1
    [link] = model["links"]
    assert (link["includeVars"], link["keepTime"], link["tags"]) == (True, True, model["tags"])
    assert "id" not in model
    assert "version" not in model


@pytest.mark.parametrize("name", NAMES)
def test_every_filter_offers_all(name: str) -> None:
    for variable in board(name)["templating"]["list"][1:]:
        assert variable["includeAll"]
        assert variable["multi"]
        assert variable["allValue"] == ".*"
        assert variable["current"]["value"] == "$__all"


@pytest.mark.parametrize("name", NAMES)
def test_every_filter_filters_something(name: str) -> None:
    text = (GENERATED / f"{name}.json").read_text()

    for variable in board(name)["templating"]["list"][1:]:
        assert f'=~\\"${variable["name"]}\\"' in text


def test_graphs_end_their_legends_in_values() -> None:
    """In the greatest where series end with what they tell of: their last value would look like one of now."""
    ending = {"Alerts by severity", "Messages by channel", "Escalations"}
    for name in NAMES:
        for panel in panels(name):
            if panel["type"] == "timeseries":
                wanted = "max" if panel["title"] in ending else "lastNotNull"
                assert panel["options"]["legend"]["calcs"] == [wanted], panel["title"]


def test_alerts_lead_to_dashboards_panels_and_variables_that_exist() -> None:
    for policy in pack.read(POLICIES):
        leads_to = policy.terms.dashboard
        found = board(leads_to.uid.removeprefix("mcp-lookout-"))
        assert set(leads_to.labels) <= {variable["name"] for variable in found["templating"]["list"]}, policy.name
        assert leads_to.panel is None or leads_to.panel in {panel["id"] for panel in found["panels"]}, policy.name


def test_links_lead_to_dashboards_and_variables_that_exist() -> None:
    found = [
        link["url"]
        for name in NAMES
        for panel in panels(name)
        for override in panel["fieldConfig"].get("overrides", [])
        for each in override["properties"]
        if each["id"] == "links" and override["matcher"]["options"] != "Alert"
        for link in each["value"]
    ]

    assert found
    for url in found:
        parts = re.fullmatch(
            r"/d/mcp-lookout-(\w+)\?var-(\w+)=\$\{__value\.raw:percentencode\}&\$\{__url_time_range\}", url
        )
        assert parts, url
        assert parts[2] in {variable["name"] for variable in board(parts[1])["templating"]["list"]}


def test_the_guide_names_every_dashboard_with_its_question() -> None:
    guide = (GENERATED.parents[1] / "docs" / "dashboards.md").read_text(encoding="utf-8")

    for name in NAMES:
        assert (
            f"| [{board(name)['title']}](http://localhost:3000/d/mcp-lookout-{name}) | {board(name)['description']} |"
            in guide
        )


def test_the_folder_and_the_data_source_are_those_that_are_provisioned() -> None:
    provisioning = GENERATED.parent / "provisioning"

    assert f"folder: {FOLDER}\n" in (provisioning / "dashboards" / "dashboards.yaml").read_text()
    assert f"uid: {DATASOURCE_UID}\n" in (provisioning / "datasources" / "datasources.yaml").read_text()


def test_every_folder_that_grafana_looks_into_is_there() -> None:
    """A missing one is an error in its log at every start."""
    files = (GENERATED.parent / "provisioning").glob("*/*.yaml")
    assert {path.parent.name for path in files} == {"alerting", "dashboards", "datasources", "plugins"}


def test_the_health_score_wears_the_colours_of_the_exporters_verdicts() -> None:
    assert [start for start, _ in SCORE_STEPS] == [DEGRADED_FROM, HEALTHY_FROM]


def test_a_traced_latency_asks_for_exemplars_once_and_leads_to_log_lines() -> None:
    traced = [panel for name in NAMES for panel in panels(name) if any(t.get("exemplar") for t in panel["targets"])]

    named = {name for panel in traced for name in re.findall(r"mcp_\w+_seconds", panel["targets"][0]["expr"])}
    assert named == TRACED
    for panel in traced:
        assert sum(target.get("exemplar", False) for target in panel["targets"]) == 1
        (link,) = panel["fieldConfig"]["defaults"]["links"]
        panes = json.loads(unquote(link["url"].removeprefix("/explore?schemaVersion=1&panes=")))
        assert panes["lines"]["datasource"] == "loki"
        assert panes["lines"]["range"] == {"from": "${__from}", "to": "${__to}"}


def test_every_number_and_table_about_agents_is_of_the_chosen_agent() -> None:
    """Probes are counted by type alone; what is known of each agent obeys the choice."""
    for target in targets("agents"):
        if target.panel["type"] in ("stat", "bargauge", "table"):
            assert re.search(r'agent[!=]~"\$agent"', target.target["expr"]), target.where


def test_what_fails_leads_to_the_lines_that_say_why() -> None:
    trouble = ("Agent states", "Probes by outcome", "Errors by type", "Runs by outcome")
    wanted = {**dict.fromkeys(trouble, TROUBLE), "Auth failures by reason": REFUSED_RECORDS}
    found = [panel for name in NAMES for panel in panels(name) if panel["title"] in wanted]

    assert {panel["title"] for panel in found} == set(wanted)
    for panel in found:
        (link,) = panel["fieldConfig"]["defaults"]["links"]
        panes = json.loads(unquote(link["url"].removeprefix("/explore?schemaVersion=1&panes=")))
        assert panes["lines"]["queries"][0]["expr"] == wanted[panel["title"]]


def test_audit_records_are_asked_for_by_events_that_there_are() -> None:
    [events] = re.findall(r'event=~"([^"]+)"', REFUSED_RECORDS)

    assert set(events.split("|")) == {AuditEvent.AUTH_FAILURE, AuditEvent.AUTH_ERROR}
