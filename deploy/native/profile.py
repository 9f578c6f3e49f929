"""Prometheus' configuration without the jobs of Compose's profile `telemetry`, which a native run does not have.

Compose's own names have no address here: Prometheus would ask the resolver for them every minute, and log the failure.
"""

from collections.abc import Iterator

import yaml

from contract.ports import ENDPOINTS

HOSTS = frozenset(ENDPOINTS[name].host for name in ("otlp", "loki", "tempo"))
"""What the profile starts."""
_OTHER_TARGETS = frozenset({"static_configs", "file_sd_configs", "http_sd_configs"})


def without_profile(text: str) -> str:
    """Return the configuration without the jobs that look for nothing but these hosts; lines keep their numbers.

    What is no YAML stays as it is: Prometheus says what is wrong with it.
    """
    try:
        document = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return text
    lines = text.splitlines(keepends=True)
    for job in _jobs(document):
        hosts = {name.value for found in _items(job, "dns_sd_configs") for name in _items(found, "names")}
        if hosts and hosts <= HOSTS and not _OTHER_TARGETS & {name.value for name, _ in job.value}:
            # A block ends where the next one starts, `{...}` within its last line.
            end = job.end_mark.line + bool(job.flow_style)
            lines[job.start_mark.line : end] = ["\n"] * (end - job.start_mark.line)
    return "".join(lines)


def _jobs(document: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    return (job for job in _items(document, "scrape_configs") if isinstance(job, yaml.MappingNode))


def _items(node: yaml.Node | None, key: str) -> Iterator[yaml.Node]:
    """Yield what stands in the list of that key."""
    for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if name.value == key and isinstance(value, yaml.SequenceNode):
            yield from value.value
