"""Lookout itself: are targets scraped, rules evaluated and people told, and what does the watching cost."""

from dashboards.alerts import notifications
from dashboards.board import Board, Row
from dashboards.conventions import Colour, NoData
from dashboards.fields import Column
from dashboards.limits import Limits
from dashboards.panels import About, Empty, Panel, bars, lines, number, rows, stack, timeline
from dashboards.queries import Query, occurring, percentile, rate

UP = {"1": ("up", Colour.GOOD), "0": ("down", Colour.BAD)}
GOOD = {"1": ("good", Colour.GOOD), "0": ("refused", Colour.BAD)}


def board(limits: Limits) -> Board:
    """Return the dashboard of the stack itself."""
    return Board(
        name="lookout",
        title="Lookout itself",
        description="Scrapes, rule evaluation, notifications, configurations, series and versions of the stack itself.",
        filters=[],
        rows=[
            Row([missing(), rule_failures(limits), undelivered(limits), dropped(), series(), queue()]),
            Row([targets(), scrape_duration(), samples(), drops()], "Scrapes and series"),
            Row([evaluation(), evaluation_failures(), ingestion()], "Rules and storage"),
            Row([notifications().sized(8), failed_notifications(), notification_latency()], "Notifications"),
            Row([spans(), lost_spans()], "Traces"),
            Row([configurations(), target_files(), versions(), workers(), deaths()], "Configurations and versions"),
        ],
        marked='component="lookout"',
    )


def spans() -> Panel:
    """Whether traces arrive."""
    about = About(
        "Spans by what became of them",
        "Spans a second that our services sent, dropped because too many waited, or could not deliver.",
        "Tracing is off: OTEL_EXPORTER_OTLP_ENDPOINT is not set.",
        Empty.WHEN_UNUSED,
    )
    query = Query(f"sum by (result) ({rate('mcp_trace_spans_total')})", "{{result}}")
    return stack(about, query, unit="ops", legends=("exported", "queue_full", "export_failed"))


def lost_spans() -> Panel:
    """Whose traces do not arrive."""
    about = About(
        "Lost spans by service",
        "Spans a second that were dropped or could not be delivered, by the service whose they were.",
        "No span was lost in this time.",
        Empty.WHEN_HEALTHY,
    )
    lost = occurring('mcp_trace_spans_total{result!="exported"}', "service")
    return stack(about, Query(lost, "{{service}}"), unit="ops", are_bad=True)


SINGLE = "Every sidecar runs as one process."


def workers() -> Panel:
    """How many workers a sidecar has."""
    about = About("Workers of sidecars", "Worker processes that answer, of each sidecar.", SINGLE, Empty.WHEN_UNUSED)
    return lines(about, Query("max by (instance) (mcp_sidecar_workers)", "{{instance}}"), unit="none")


def deaths() -> Panel:
    """Whether they stay alive."""
    text = "Workers that died and were replaced, and background tasks that failed and began again, a second."
    about = About("Deaths of workers", text, SINGLE, Empty.WHEN_UNUSED)
    died = Query(f"sum by (instance) ({rate('mcp_sidecar_worker_deaths_total')})", "{{instance}}")
    failed = Query(f"sum by (instance) ({rate('mcp_sidecar_background_failures_total')})", "{{instance}}, a task")
    return lines(about, died, failed, unit="ops")


def missing() -> Panel:
    """How many targets do not answer."""
    about = About("Missing targets", "Scraped addresses that did not answer the last time.", NoData.PROMETHEUS)
    return number(about, Query("count(up == 0) or 0 * count(up)"), unit="none", steps=[(1, Colour.BAD)])


def rule_failures(limits: Limits) -> Panel:
    """Whether rules fail."""
    limit = limits.of("rule_evaluation_failing")
    about = About(
        "Failed evaluations",
        "Evaluations of the worst rule group that failed, over the window of the alert RuleEvaluationFailing.",
        NoData.PROMETHEUS,
    )
    return number(about, Query(f"max({limit.expr})"), unit="none", limit=limit)


def undelivered(limits: Limits) -> Panel:
    """Whether somebody was not told."""
    limit = limits.of("notifications_failing")
    about = About(
        "Messages not sent",
        "Messages of the worst channel that were not delivered, over the window of the alert NotificationsFailing.",
        NoData.ALERTMANAGER,
    )
    return number(about, Query(f"max({limit.expr})"), unit="none", limit=limit)


def dropped() -> Panel:
    """Whether a metric is at its cap."""
    about = About(
        "Dropped samples",
        "Samples that our services left out in the chosen time range because a metric had too many label sets.",
        "No metric has reached its cap.",
        Empty.WHEN_HEALTHY,
    )
    query = Query("sum(increase(mcp_series_dropped_total[$__range]))")
    return number(about, query, unit="short", steps=[(1, Colour.WARNING)])


def series() -> Panel:
    """How much Prometheus holds."""
    about = About("Series in memory", "Series that Prometheus holds in memory.", NoData.PROMETHEUS)
    return number(about, Query("sum(prometheus_tsdb_head_series)"), unit="short")


def queue() -> Panel:
    """Whether alerts pile up."""
    about = About("Alerts not handed over", "Alerts that Prometheus has not yet handed over.", NoData.PROMETHEUS)
    return number(about, Query("sum(prometheus_notifications_queue_length)"), unit="none")


def targets() -> Panel:
    """When each target answered."""
    about = About("Targets", "Each scraped address over time: green answers, red does not.", NoData.PROMETHEUS)
    return timeline(about, Query("min by (job, instance) (up)", "{{job}} {{instance}}"), UP).sized(24, 9)


def scrape_duration() -> Panel:
    """How long scrapes take."""
    about = About("Scrape duration by job", "Time that the slowest scrape of a job takes.", NoData.PROMETHEUS)
    return lines(about, Query("max by (job) (scrape_duration_seconds)", "{{job}}"), unit="s").sized(8)


def samples() -> Panel:
    """How many samples each job has."""
    about = About("Samples by job", "Samples that one round of scrapes of a job brings.", NoData.PROMETHEUS)
    query = Query("sum by (job) (scrape_samples_post_metric_relabeling)", "{{job}}")
    return stack(about, query, unit="short").sized(8)


def drops() -> Panel:
    """Which metric is at its cap."""
    about = About(
        "Dropped by metric",
        "Samples a second that our services leave out because the metric is at its cap of label sets.",
        "No metric has reached its cap.",
        Empty.WHEN_HEALTHY,
    )
    query = Query(occurring("mcp_series_dropped_total", "service", "metric"), "{{service}} {{metric}}")
    return stack(about, query, unit="ops", are_bad=True).sized(8)


def evaluation() -> Panel:
    """How much of its interval each rule group needs."""
    about = About(
        "Load of rule groups",
        "How much of its interval the last evaluation of a group took, of the five busiest; near 1 rounds are skipped.",
        NoData.PROMETHEUS,
    )
    share = "prometheus_rule_group_last_duration_seconds / prometheus_rule_group_interval_seconds"
    # Prometheus puts the file's path before the name of the group.
    named = f'label_replace({share}, "rule_group", "$1", "rule_group", ".*;(.+)")'
    return bars(about, Query(f"topk(5, max by (rule_group) ({named}))", "{{rule_group}}"), unit="percentunit", top=1)


def evaluation_failures() -> Panel:
    """Which rule groups fail or are late."""
    about = About(
        "Failed, missed rounds",
        "Evaluations a second that failed, and rounds that were skipped because the last one took too long.",
        NoData.PROMETHEUS,
    )
    queries = [
        Query(f"sum({rate('prometheus_rule_evaluation_failures_total')})", "failed"),
        Query(f"sum({rate('prometheus_rule_group_iterations_missed_total')})", "missed"),
    ]
    return lines(about, *queries, unit="ops", legends=("failed", "missed")).sized(8)


def ingestion() -> Panel:
    """How much Prometheus takes in."""
    about = About("Samples stored", "Samples that Prometheus stores, a second.", NoData.PROMETHEUS)
    query = Query(f"sum by (type) ({rate('prometheus_tsdb_head_samples_appended_total')})", "{{type}}")
    return lines(about, query, unit="suffix:samples/s").sized(8)


def failed_notifications() -> Panel:
    """Which channel fails."""
    about = About(
        "Failures by channel",
        "Messages a second that were not delivered, by integration.",
        "No notification failed in this time.",
        Empty.WHEN_HEALTHY,
    )
    query = Query(occurring("alertmanager_notifications_failed_total", "integration"), "{{integration}}")
    return lines(about, query, unit="ops", are_bad=True).sized(8)


def notification_latency() -> Panel:
    """How long it takes to tell somebody."""
    about = About(
        "Message latency, p95",
        "Time under which 95 % of the messages of a channel were handed over; channels without a message are left out.",
        "No notification was sent in this time.",
        Empty.WHEN_HEALTHY,
    )
    latency = percentile(0.95, "alertmanager_notification_latency_seconds", by=["integration"])
    return lines(about, Query(latency, "{{integration}}"), unit="s").sized(8)


def configurations() -> Panel:
    """Who runs on a configuration that is no longer the one on disk."""
    about = About(
        "Configurations",
        "Whether each service could read its configuration the last time; while refused, it runs on the last good one.",
        NoData.EXPORTER,
    )
    ours = "min by (service) (mcp_config_last_reload_successful)"
    theirs = (
        f'label_replace(min({name}_config_last_reload_successful), "service", "{name}", "", "")'
        for name in ("prometheus", "alertmanager")
    )
    return timeline(about, Query(" or ".join((ours, *theirs)), "{{service}}"), GOOD).sized(12, 7)


def target_files() -> Panel:
    """Whether target files can be read."""
    about = About(
        "Target files",
        "Whether the last reading of each file_sd pattern was good; while not, its last good targets are probed.",
        "No agents come from target files.",
        Empty.WHEN_UNUSED,
    )
    texts = {value: text for value, (text, _) in GOOD.items()}
    colours = {value: colour for value, (_, colour) in GOOD.items()}
    columns = [Column("pattern", "Files"), Column("Value", "Last reading", texts=texts, colours=colours, width=140)]
    # A table and not lanes: those have words of their own for "nothing there".
    return rows(about, columns, Query("min by (pattern) (mcp_target_file_up)")).sized(12, 7)


def versions() -> Panel:
    """What runs."""
    about = About("Versions", "Version that each service of the stack reports.", NoData.PROMETHEUS)
    foreign = ("prometheus", "alertmanager", "node_exporter")
    builds = ["max by (service, version, instance) (mcp_build_info)"] + [
        f'label_replace(max by (version, instance) ({name}_build_info), "service", "{name}", "", "")'
        for name in foreign
    ]
    columns = [Column("service", "Service"), Column("version", "Version"), Column("instance", "Address")]
    return rows(about, columns, Query(" or ".join(builds)), hidden=("Value",)).sized(24, 8)
