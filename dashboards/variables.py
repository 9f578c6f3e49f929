"""Dashboard variables: the data source, and filters that each offer All."""

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from dashboards.conventions import DATASOURCE_UID, datasource

Variable = builders.DatasourceVariable | builders.QueryVariable


def data_source() -> Variable:
    """Let the reader choose a Prometheus; the provisioned one is preset."""
    preset = models.VariableOption(selected=False, text="Prometheus", value=DATASOURCE_UID)
    return builders.DatasourceVariable("datasource").label("Data source").type("prometheus").current(preset)


def agent_type() -> Variable:
    """Filter by the type of agent."""
    return _labels("agent_type", "Agent type", "label_values(mcp_agents_configured, agent_type)")


def agent() -> Variable:
    """Filter by agent, among those of the chosen types."""
    return _labels("agent", "Agent", 'label_values(mcp_agent_up{agent_type=~"$agent_type"}, agent)')


def workflow() -> Variable:
    """Filter by workflow."""
    return _labels("workflow", "Workflow", "label_values(mcp_workflow_runs_total, workflow)")


def method() -> Variable:
    """Filter by MCP method."""
    return _labels("method", "Method", "label_values(mcp_server_operation_duration_seconds_count, mcp_method_name)")


def tool() -> Variable:
    """Filter by tool; operations without a tool are among All."""
    return _labels("tool", "Tool", "label_values(mcp_server_operation_duration_seconds_count, gen_ai_tool_name)")


def host() -> Variable:
    """Filter by the host that node_exporter runs on."""
    return _labels("instance", "Host", "label_values(node_uname_info, instance)")


def _labels(name: str, label: str, query: str) -> Variable:
    variable = builders.QueryVariable(name).label(label).datasource(datasource())
    variable.query({"query": query, "refId": f"variable-{name}"}).refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable.sort(models.VariableSort.ALPHABETICAL_ASC).multi(True).include_all(True).all_value(".*")
    return variable.current(models.VariableOption(selected=True, text="All", value="$__all"))
