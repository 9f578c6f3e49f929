"""Infrastructure: processor, memory, disk and network of the hosts, and of the services that run on them."""

from dashboards import variables
from dashboards.board import Board, Row
from dashboards.conventions import Colour, NoData
from dashboards.limits import Limits
from dashboards.panels import About, Empty, Panel, bars, lines, number
from dashboards.queries import Query, rate

HOST = 'instance=~"$instance"'
CHOSEN = f" and on (instance) node_uname_info{{{HOST}}}"
"""After a whole expression about hosts: of these, the chosen ones."""
REAL_DISK = f'{HOST}, fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660|autofs"'
REAL_DEVICE = f'{HOST}, device!~"lo|veth.*|docker.*|br-.*"'
BY_SERVICE = "{{job}} {{instance}}"
"""Two sidecars are two series of the same job."""


def board(limits: Limits) -> Board:
    """Return the dashboard of hosts."""
    return Board(
        name="infrastructure",
        title="Infrastructure",
        description="Hosts and services: processor, memory, disk, network, and how saturated they are.",
        filters=[variables.host()],
        rows=[
            Row([processor_now(limits), memory_now(limits), disk_now(), load_now(), disk_busy_now(), uptime()]),
            Row([processor(limits, CHOSEN).sized(12), processor_modes(), load(), pressure()], "Processor"),
            Row([memory(limits, CHOSEN).sized(12), memory_parts()], "Memory"),
            Row([disk_space(), disk_traffic(), disk_busy()], "Disk"),
            Row([network(), network_errors()], "Network"),
            Row([service_processor(), service_memory(), service_files()], "Services"),
        ],
        marked='component="infrastructure"',
    )


def processor_now(limits: Limits) -> Panel:
    """The busiest host."""
    limit = limits.of("resource_exhaustion", metric="node_cpu_seconds_total")
    about = About(
        "Busiest processor",
        "Processor use of the busiest chosen host, as the alert ResourceExhaustion measures it.",
        NoData.NODE,
    )
    return number(about, Query(f"max({limit.expr}{CHOSEN})"), unit="percentunit", limit=limit)


def memory_now(limits: Limits) -> Panel:
    """The fullest host."""
    limit = limits.of("resource_exhaustion", metric="node_memory_MemAvailable_bytes")
    about = About(
        "Fullest memory",
        "Memory use of the fullest chosen host, as the alert ResourceExhaustion measures it.",
        NoData.NODE,
    )
    return number(about, Query(f"max({limit.expr}{CHOSEN})"), unit="percentunit", limit=limit)


def disk_now() -> Panel:
    """The fullest disk."""
    about = About("Fullest disk", "Used share of the fullest file system of the chosen hosts.", NoData.NODE)
    return number(about, Query(f"max({_disk_used()})"), unit="percentunit")


def load_now() -> Panel:
    """How much waits for a processor."""
    about = About(
        "Load per core",
        "Processes that run or want to run, a processor core, over 5 minutes; above 1 some wait.",
        NoData.NODE,
    )
    return number(about, Query(f"max({_load()})"), unit="none")


def disk_busy_now() -> Panel:
    """The busiest disk."""
    about = About(
        "Busiest disk", "Share of the time in which the busiest disk of the chosen hosts was at work.", NoData.NODE
    )
    query = Query(f"max({rate(f'node_disk_io_time_seconds_total{{{HOST}}}')})")
    return number(about, query, unit="percentunit")


def uptime() -> Panel:
    """Which host started last."""
    about = About("Shortest uptime", "Time since the chosen host that started last was started.", NoData.NODE)
    return number(about, Query(f"time() - max(node_boot_time_seconds{{{HOST}}})"), unit="s")


def processor(limits: Limits, chosen: str = "") -> Panel:
    """Processor use against the alert's limit; of all hosts on a board without the filter."""
    limit = limits.of("resource_exhaustion", metric="node_cpu_seconds_total")
    about = About(
        "Processor use",
        "Share of processor time in use, by host; dashed: the limit of the alert ResourceExhaustion.",
        NoData.NODE,
    )
    idle = rate('node_cpu_seconds_total{mode="idle"}')
    query = Query(f"1 - avg by (instance) ({idle}){chosen}", "{{instance}}")
    return lines(about, query, unit="percentunit", limit=limit, top=1).sized(8)


def processor_modes() -> Panel:
    """What the processor does."""
    about = About(
        "Processor time by kind", "Processor time of the chosen hosts by what it was used for, in cores.", NoData.NODE
    )
    busy = rate(f'node_cpu_seconds_total{{mode!="idle", {HOST}}}')
    return lines(about, Query(f"sum by (mode) ({busy})", "{{mode}}"), unit="none")


def load() -> Panel:
    """How much waited for a processor."""
    about = About(
        "Load per core by host", "Processes that run or want to run, a processor core, over 5 minutes.", NoData.NODE
    )
    return lines(about, Query(_load(), "{{instance}}"), unit="none")


def pressure() -> Panel:
    """How long work waited."""
    about = About(
        "Pressure",
        "Share of the time in which some process waited for processor, memory or disk.",
        "The kernel of these hosts reports no pressure (it needs PSI).",
        Empty.WHEN_UNUSED,
    )
    kinds = {"processor": "cpu_waiting", "memory": "memory_waiting", "disk": "io_waiting"}
    queries = [
        Query(
            f"max by (instance) ({rate(f'node_pressure_{kind}_seconds_total{{{HOST}}}')})", f"{{{{instance}}}} {name}"
        )
        for name, kind in kinds.items()
    ]
    return lines(about, *queries, unit="percentunit")


def memory(limits: Limits, chosen: str = "") -> Panel:
    """Memory use against the alert's limit; of all hosts on a board without the filter."""
    limit = limits.of("resource_exhaustion", metric="node_memory_MemAvailable_bytes")
    about = About(
        "Memory use",
        "Share of memory that is not available, by host; dashed: the limit of the alert ResourceExhaustion.",
        NoData.NODE,
    )
    query = Query(f"max by (instance) ({limit.expr}){chosen}", "{{instance}}")
    return lines(about, query, unit="percentunit", limit=limit, top=1).sized(8)


def memory_parts() -> Panel:
    """What memory is used for."""
    about = About("Memory of the chosen hosts", "Memory in all, available, and used as file cache.", NoData.NODE)
    parts = {"total": "MemTotal", "available": "MemAvailable", "cached": "Cached"}
    queries = [Query(f"sum(node_memory_{part}_bytes{{{HOST}}})", name) for name, part in parts.items()]
    colours = {"total": Colour.LOW, "available": Colour.NEUTRAL, "cached": Colour.HIGH}
    return lines(about, *queries, unit="bytes", colours=colours)


def disk_space() -> Panel:
    """How full disks are."""
    about = About("Disk space used", "Used share of each file system of the chosen hosts.", NoData.NODE)
    query = Query(f"max by (instance, mountpoint) ({_disk_used()})", "{{mountpoint}} on {{instance}}")
    return bars(about, query, unit="percentunit", top=1)


def disk_traffic() -> Panel:
    """How much is read and written."""
    about = About("Disk traffic", "Bytes read and written a second by the chosen hosts.", NoData.NODE)
    queries = [
        Query(f"sum by (instance) ({rate(f'node_disk_{kind}_bytes_total{{{HOST}}}')})", f"{{{{instance}}}} {kind}")
        for kind in ("read", "written")
    ]
    return lines(about, *queries, unit="Bps").sized(8)


def disk_busy() -> Panel:
    """How busy disks are."""
    about = About("Disk use", "Share of the time in which each disk was at work.", NoData.NODE)
    busy = rate(f"node_disk_io_time_seconds_total{{{HOST}}}")
    return lines(
        about, Query(f"max by (instance, device) ({busy})", "{{instance}} {{device}}"), unit="percentunit"
    ).sized(8)


def network() -> Panel:
    """How much is sent and received."""
    about = About(
        "Network traffic", "Bytes received and sent a second by the chosen hosts, loopback left out.", NoData.NODE
    )
    queries = [
        Query(
            f"sum by (instance) ({rate(f'node_network_{kind}_bytes_total{{{REAL_DEVICE}}}')})",
            f"{{{{instance}}}} {name}",
        )
        for name, kind in {"received": "receive", "sent": "transmit"}.items()
    ]
    return lines(about, *queries, unit="Bps")


def network_errors() -> Panel:
    """Whether packets are lost."""
    about = About("Network errors and drops", "Packets a second that failed or were dropped, by host.", NoData.NODE)
    kinds = ("receive_errs", "transmit_errs", "receive_drop", "transmit_drop")
    queries = [
        Query(f"sum by (instance) ({rate(f'node_network_{kind}_total{{{REAL_DEVICE}}}')})", f"{{{{instance}}}} {name}")
        for kind, name in zip(kinds, ("receive errors", "send errors", "receive drops", "send drops"), strict=True)
    ]
    return lines(about, *queries, unit="pps")


def service_processor() -> Panel:
    """Which service uses the processor."""
    about = About(
        "Processor by service", "Share of one core that each scraped service uses, on whatever host.", NoData.PROMETHEUS
    )
    query = Query(f"max by (job, instance) ({rate('process_cpu_seconds_total')})", BY_SERVICE)
    return lines(about, query, unit="percentunit").sized(8)


def service_memory() -> Panel:
    """Which service uses memory."""
    about = About("Memory by service", "Resident memory of each scraped service, on whatever host.", NoData.PROMETHEUS)
    query = Query("max by (job, instance) (process_resident_memory_bytes)", BY_SERVICE)
    return lines(about, query, unit="bytes").sized(8)


def service_files() -> Panel:
    """Which service runs out of files."""
    about = About(
        "Open files by service",
        "Share of the allowed file descriptors that each scraped service has open, on whatever host.",
        NoData.PROMETHEUS,
    )
    query = Query("max by (job, instance) (process_open_fds / process_max_fds)", BY_SERVICE)
    return lines(about, query, unit="percentunit").sized(8)


def _disk_used() -> str:
    return f"1 - node_filesystem_avail_bytes{{{REAL_DISK}}} / (node_filesystem_size_bytes{{{REAL_DISK}}} > 0)"


def _load() -> str:
    idle = rate(f'node_cpu_seconds_total{{mode="idle", {HOST}}}')
    cores = f"count by (instance) ({idle})"
    return f"max by (instance) (node_load5{{{HOST}}}) / {cores}"
