"""Metrics of node_exporter, Prometheus and Alertmanager that dashboards may use, with the labels they are used with."""

from collections.abc import Mapping

_DISK = ("device",)
_FILE_SYSTEM = ("device", "fstype", "mountpoint")
_GROUP = ("rule_group",)

NODE: Mapping[str, tuple[str, ...]] = {
    "node_boot_time_seconds": (),
    "node_cpu_seconds_total": ("cpu", "mode"),
    "node_disk_io_time_seconds_total": _DISK,
    "node_disk_read_bytes_total": _DISK,
    "node_disk_written_bytes_total": _DISK,
    "node_exporter_build_info": ("version",),
    "node_filesystem_avail_bytes": _FILE_SYSTEM,
    "node_filesystem_size_bytes": _FILE_SYSTEM,
    "node_load5": (),
    "node_memory_Cached_bytes": (),
    "node_memory_MemAvailable_bytes": (),
    "node_memory_MemTotal_bytes": (),
    "node_network_receive_bytes_total": _DISK,
    "node_network_receive_drop_total": _DISK,
    "node_network_receive_errs_total": _DISK,
    "node_network_transmit_bytes_total": _DISK,
    "node_network_transmit_drop_total": _DISK,
    "node_network_transmit_errs_total": _DISK,
    "node_pressure_cpu_waiting_seconds_total": (),
    "node_pressure_io_waiting_seconds_total": (),
    "node_pressure_memory_waiting_seconds_total": (),
    "node_uname_info": ("nodename",),
}

ALERTMANAGER: Mapping[str, tuple[str, ...]] = {
    "alertmanager_build_info": ("version",),
    "alertmanager_config_last_reload_successful": (),
    "alertmanager_notification_latency_seconds_bucket": ("integration", "le"),
    "alertmanager_notifications_failed_total": ("integration",),
    "alertmanager_notifications_total": ("integration",),
}

PROMETHEUS: Mapping[str, tuple[str, ...]] = {
    "process_cpu_seconds_total": (),
    "process_max_fds": (),
    "process_open_fds": (),
    "process_resident_memory_bytes": (),
    "prometheus_build_info": ("version",),
    "prometheus_config_last_reload_successful": (),
    "prometheus_notifications_queue_length": (),
    "prometheus_rule_evaluation_failures_total": _GROUP,
    "prometheus_rule_group_interval_seconds": _GROUP,
    "prometheus_rule_group_iterations_missed_total": _GROUP,
    "prometheus_rule_group_last_duration_seconds": _GROUP,
    "prometheus_rule_group_rules": _GROUP,
    "prometheus_tsdb_head_samples_appended_total": ("type",),
    "prometheus_tsdb_head_series": (),
}

_ALERT = ("alertname", "severity", "escalation", "component", "service", "agent", "agent_type", "workflow", "resource")
MADE_BY_PROMETHEUS: Mapping[str, tuple[str, ...]] = {
    "ALERTS": (*_ALERT, "alertstate", "rule_group", "integration"),
    "ALERTS_FOR_STATE": (*_ALERT, "rule_group", "integration"),
    "scrape_duration_seconds": (),
    "scrape_samples_post_metric_relabeling": (),
    "up": (),
}

FOREIGN: Mapping[str, tuple[str, ...]] = {**NODE, **ALERTMANAGER, **PROMETHEUS, **MADE_BY_PROMETHEUS}
SCRAPED = ("job", "instance")
"""Labels that every scraped series has."""
