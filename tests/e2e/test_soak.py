"""The healthy fleet alarms nobody: LOOKOUT_SOAK=1 pytest tests/e2e/test_soak.py (30 minutes; LOOKOUT_SOAK_MINUTES).

Opt-in, because it runs at the committed pace. The machine should have little else to do: alerts about it (component
`infrastructure`) are true where it has, and are only shown.
"""

import os
import time
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tests.e2e.stack import Stack, free_ports, running, until

if os.environ.get("LOOKOUT_SOAK") != "1":
    pytest.skip("opt-in: LOOKOUT_SOAK=1, takes half an hour", allow_module_level=True)

SECONDS = 60 * float(os.environ.get("LOOKOUT_SOAK_MINUTES", "30"))
STEP_SECONDS = 15
START_SECONDS = 120
"""How long a start may take until everything has been measured once; what is told meanwhile counts too."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("soak"), free_ports(), pace=str) as stack:
        until(lambda: stack.sample("min(up)") == 1, "every target scraped", START_SECONDS)
        yield stack


def alerts(stack: Stack, state: str, since: float) -> dict[str, int]:
    """Return the alerts that were in a state, but for the Watchdog, and for how many seconds."""
    asked = {
        "query": f'count by (alertname, component) (ALERTS{{alertstate="{state}", alertname!="Watchdog"}})',
        "start": since,
        "end": time.time(),
        "step": STEP_SECONDS,
    }
    found = stack.json("prometheus", f"/api/v1/query_range?{urlencode(asked)}")["data"]["result"]
    return {
        f"{series['metric']['component']}/{series['metric']['alertname']}": STEP_SECONDS * len(series["values"])
        for series in found
    }


def false_alarms(stack: Stack, since: float) -> dict[str, int]:
    """Return what fired and does not speak of the machine."""
    found = alerts(stack, "firing", since)
    return {name: seconds for name, seconds in found.items() if not name.startswith("infrastructure/")}


def test_a_healthy_fleet_alarms_nobody(stack: Stack) -> None:
    began = time.time()
    until(lambda: false_alarms(stack, began) or time.time() - began > SECONDS, "the time is over", SECONDS + 60)
    print(f"pending meanwhile: {alerts(stack, 'pending', began)}; fired: {alerts(stack, 'firing', began)}")
    assert stack.sample(f'min_over_time(count(ALERTS{{alertname="Watchdog"}})[{int(SECONDS)}s:15s])') == 1
    assert false_alarms(stack, began) == {}
    received = stack.json("sink", "/messages")["messages"]
    fired = {name.partition("/")[2] for name in alerts(stack, "firing", began)}
    assert {message["alert"] for message in received} <= fired, "nobody is told of anything else"


def test_the_same_look_hears_a_fault(stack: Stack) -> None:
    began = time.time()
    stack.fault("agent-down", broken=True)
    until(lambda: "agents/AgentDown" in false_alarms(stack, began), "AgentDown", 240)
