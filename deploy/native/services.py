"""The table of what runs natively: the same programs, with the same configuration files, as docker-compose.yml."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from contract import log
from contract.ports import ENDPOINTS, port
from deploy.native import packages
from deploy.native.layout import Layout
from deploy.native.reload import HangUp, Post
from deploy.native.runner import Port, Service
from deploy.prepare import SECRETS, groups_of

NEEDED = ("prometheus", "alertmanager", "node_exporter")
"""Programs that are not ours; Grafana is welcome but not needed."""
TOOLS = ("promtool", "amtool")
"""Programs that people run by hand."""

# Debian turns these on; without systemd's bus or with no folder of text files each scrape would log an error. No rule
# and no dashboard reads them. Elsewhere than on Linux there is no collector of systemd to turn off.
NODE_EXPORTER_WITHOUT = (
    "--no-collector.textfile",
    *(["--no-collector.systemd"] if sys.platform == "linux" else []),
)


class Table:
    """Makes the services of one layout and environment."""

    def __init__(self, layout: Layout, environ: Mapping[str, str] = os.environ) -> None:
        """Take the folders and the environment that may move ports."""
        self._layout = layout
        self._environ = environ
        self._etc = layout.etc
        self._secrets = layout.etc / "lookout" / "secrets"

    def services(self) -> list[Service]:
        """Return every service, in the order in which they start."""
        return [
            self._idp(),
            self._sink(),
            self._agents(),
            self._sidecar(),
            self._engine(),
            self._exporter(),
            self._alertmanager(),
            self._incident_desk(),
            self._node_exporter(),
            self._prometheus(),
            *self._grafana(),
        ]

    def url(self, endpoint: str, path: str = "", host: str = "127.0.0.1") -> str:
        """Return where an endpoint answers on this machine."""
        return f"http://{host}:{port(endpoint, self._environ)}{path}"

    def _ports(self, *endpoints: str) -> tuple[Port, ...]:
        return tuple(
            Port(port(name, self._environ) + offset, ENDPOINTS[name].variable)
            for name in endpoints
            for offset in range(ENDPOINTS[name].count)
        )

    def _number(self, endpoint: str) -> str:
        return str(port(endpoint, self._environ))

    def _data(self, name: str) -> str:
        folder = self._layout.data / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return str(folder)

    def _ours(
        self,
        package: str,
        *arguments: str,
        ready: str,
        endpoints: tuple[str, ...],
        reload: Post | None = None,
        checks: bool = False,
        secrets: tuple[str, ...] = (),
        config: tuple[Path, ...] = (),
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> Service:
        """Return one of our own services; it reads again, or starts again, when one of its secrets changes."""
        followed = [name for name in self._environ if name.startswith("OTEL_") or name == log.FOLDER_VARIABLE]
        name = package.removeprefix("demo.").replace("auth_sidecar", "sidecar").replace("_", "-")
        command = (sys.executable, "-m", package, *arguments)
        return Service(
            name=name,
            command=command,
            check=(*command, "--check") if checks else None,
            ready=ready,
            ports=self._ports(*endpoints),
            config=(*(self._secrets / name for name in secrets), *config),
            code=(self._layout.root / "contract", self._layout.root / package.partition(".")[0]),
            reload=reload,
            # Named here so that a service is started again when they change.
            environ={**environ, **{variable: self._environ[variable] for variable in followed}},
        )

    def _handed_to(self, group: str) -> tuple[str, ...]:
        """Return the names of all secrets that a group of services reads, the user's own among them."""
        found = self._secrets.iterdir() if self._secrets.is_dir() else ()
        return tuple(sorted(file.name for file in found if group in groups_of(file.name)))

    def _idp(self) -> Service:
        return self._ours(
            "demo.idp",
            *("--issuer", self.url("idp"), "--resource", self.url("sidecar", host="localhost")),
            *("--port", self._number("idp"), "--secrets", str(self._secrets), "--state", self._data("idp")),
            secrets=tuple(name for name in SECRETS if name.startswith("idp_client_")),
            ready=self.url("idp", "/-/healthy"),
            endpoints=("idp",),
        )

    def _sink(self) -> Service:
        return self._ours(
            "demo.sink",
            *("--port", self._number("sink"), "--smtp-port", self._number("sink_smtp")),
            *("--secrets", str(self._secrets), "--state", self._data("sink")),
            secrets=("slack_url", "pagerduty_routing_key"),
            ready=self.url("sink", "/-/healthy"),
            endpoints=("sink", "sink_smtp"),
        )

    def _agents(self) -> Service:
        return self._ours(
            "demo.agents",
            *("--port", self._number("agents"), "--control-port", self._number("demo_control")),
            *("--sidecar", self.url("sidecar"), "--token-url", self.url("idp", "/token")),
            *("--resource", self.url("sidecar", host="localhost"), "--secrets", str(self._secrets)),
            secrets=("idp_client_intruder",),
            ready=self.url("demo_control", "/-/healthy"),
            endpoints=("agents", "demo_control"),
        )

    def _engine(self) -> Service:
        return self._ours(
            "demo.engine",
            *("--sidecar", self.url("sidecar"), "--token-url", self.url("idp", "/token")),
            *("--resource", self.url("sidecar", host="localhost")),
            *("--port", self._number("engine"), "--secrets", str(self._secrets)),
            secrets=("idp_client_workflow_engine",),
            ready=self.url("engine", "/-/healthy"),
            endpoints=("engine",),
        )

    def _sidecar(self) -> Service:
        file = self._etc / "lookout" / "sidecar.yaml"
        return self._ours(
            "auth_sidecar",
            *("--config", str(file), "--port", self._number("sidecar"), "--admin-port", self._number("sidecar_admin")),
            ready=self.url("sidecar_admin", "/-/ready"),
            endpoints=("sidecar", "sidecar_admin"),
            reload=Post(self.url("sidecar_admin", "/-/reload"), self._layout.secrets / "sidecar_admin_token"),
            checks=True,
            secrets=self._handed_to("sidecar"),
            config=(file, self._layout.root / "auth_sidecar" / "roles.yaml"),
        )

    def _exporter(self) -> Service:
        file = self._etc / "lookout" / "exporter.yaml"
        return self._ours(
            "exporter",
            *("--config", str(file), "--port", self._number("exporter")),
            ready=self.url("exporter", "/-/ready"),
            endpoints=("exporter",),
            reload=Post(self.url("exporter", "/-/reload")),
            checks=True,
            secrets=self._handed_to("clients"),
            config=(file,),
        )

    def _incident_desk(self) -> Service:
        file = self._etc / "lookout" / "desk.yaml"
        return self._ours(
            "incident_desk",
            *("--config", str(file), "--port", self._number("incident_desk")),
            ready=self.url("incident_desk", "/-/ready"),
            endpoints=("incident_desk",),
            reload=Post(self.url("incident_desk", "/-/reload")),
            checks=True,
            secrets=self._handed_to("desk"),
            config=(file, self._layout.root / "rules" / "escalation.yaml"),
        )

    def _prometheus(self) -> Service:
        folder = self._etc / "prometheus"
        return Service(
            name="prometheus",
            command=(
                str(packages.locate_for_use("prometheus")),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--web.listen-address=127.0.0.1:{self._number('prometheus')}",
                f"--web.external-url={self.url('prometheus', host='localhost')}",
                f"--storage.tsdb.path={self._data('prometheus')}",
                "--storage.tsdb.retention.time=32d",
                "--storage.tsdb.retention.size=2GB",
                "--enable-feature=exemplar-storage",  # a latency leads to a trace
            ),
            ready=self.url("prometheus", "/-/ready"),
            ports=self._ports("prometheus"),
            config=(folder,),
            reload=HangUp(self.url("prometheus", "/metrics"), "prometheus"),
        )

    def _alertmanager(self) -> Service:
        folder = self._etc / "alertmanager"
        return Service(
            name="alertmanager",
            command=(
                str(packages.locate_for_use("alertmanager")),
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--web.listen-address=127.0.0.1:{self._number('alertmanager')}",
                f"--web.external-url={self.url('alertmanager', host='localhost')}",
                f"--storage.path={self._data('alertmanager')}",
                "--cluster.listen-address=",  # one alone: no gossip port
            ),
            ready=self.url("alertmanager", "/-/ready"),
            ports=self._ports("alertmanager"),
            config=(folder,),
            reload=Post(self.url("alertmanager", "/-/reload")),
            folder=folder,  # Alertmanager looks for a receiver's secret files where it runs, not beside its file
        )

    def _node_exporter(self) -> Service:
        return Service(
            name="node-exporter",
            command=(
                str(packages.locate_for_use("node_exporter")),
                f"--web.listen-address=127.0.0.1:{self._number('node_exporter')}",
                *NODE_EXPORTER_WITHOUT,
            ),
            ready=self.url("node_exporter", "/"),
            ports=self._ports("node_exporter"),
        )

    def _grafana(self) -> Iterator[Service]:
        """Yield Grafana where its program is on the PATH (DESIGN.md section 7); Debian has no package of it."""
        binary = shutil.which("grafana", path=self._environ.get("PATH"))
        if binary is None:
            return
        yield Service(
            name="grafana",
            command=(binary, "server", "--homepath", str(_grafana_home(Path(binary)))),
            ready=self.url("grafana", "/api/health"),
            ports=self._ports("grafana"),
            config=(self._etc / "grafana" / "provisioning",),
            environ={
                **GRAFANA,
                # All that it writes stays here; its defaults lie in the folder where it is installed.
                "GF_PATHS_DATA": self._data("grafana"),
                "GF_PATHS_LOGS": self._data("grafana/log"),
                "GF_PATHS_PLUGINS": self._data("grafana/plugins"),
                "GF_LOG_MODE": "console",
                "GF_PATHS_PROVISIONING": str(self._etc / "grafana" / "provisioning"),
                "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(self._etc / "grafana/dashboards/overview.json"),
                "GF_SERVER_HTTP_ADDR": "127.0.0.1",
                "GF_SERVER_HTTP_PORT": self._number("grafana"),
                "GF_SERVER_ROOT_URL": self.url("grafana", host="localhost"),
            },
        )


GRAFANA: Mapping[str, str] = {
    # Anyone on this machine may look, nobody can log in, and there is no administrator with a default password.
    "GF_AUTH_ANONYMOUS_ENABLED": "true",
    "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
    "GF_AUTH_DISABLE_LOGIN_FORM": "true",
    "GF_AUTH_BASIC_ENABLED": "false",
    "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION": "true",
    "GF_USERS_ALLOW_SIGN_UP": "false",
    "GF_USERS_VIEWERS_CAN_EDIT": "true",  # whoever looks may follow a dot to its trace in Explore; nothing can be saved
    # Nothing is fetched and nobody is told.
    "GF_ANALYTICS_REPORTING_ENABLED": "false",
    "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
    "GF_PLUGINS_PREINSTALL_DISABLED": "true",
    "GF_PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED": "true",
    "GF_NEWS_NEWS_FEED_ENABLED": "false",
    "GF_SECURITY_DISABLE_GRAVATAR": "true",
    "GF_SECURITY_CONTENT_SECURITY_POLICY": "true",  # nor does the page tell anybody
}


def _grafana_home(binary: Path) -> Path:
    """Return the folder with Grafana's pages: beside the program as unpacked, else where its packages put it."""
    beside = binary.resolve().parents[1]
    return beside if (beside / "public").is_dir() else Path("/usr/share/grafana")
