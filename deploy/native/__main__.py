"""Run the stack without Docker: up, down, status, reload, pin-tools, break, heal, check or check-config."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Mapping

from deploy.native.apt import AptError
from deploy.native.check import check
from deploy.native.layout import Layout, state_folder
from deploy.native.packages import MissingProgramError, fetch_missing, offer
from deploy.native.ports import Ports, PortsError
from deploy.native.runner import RunError, Runner
from deploy.native.services import NEEDED, TOOLS, Table
from deploy.native.ui import FIRING, advice, still_firing, too_old_grafana, without_pages
from deploy.prepare import SecretsError
from deploy.urls import summary

NO_GRAFANA = """
Grafana is not among them: there is no `grafana` on the PATH and Debian has no package of it. To see the dashboards
install it (https://grafana.com/docs/grafana/latest/setup-grafana/installation/) and run `make up` again, or install
Docker with Compose, where it is included. The status page shows the essence without it."""


def use_ports(layout: Layout, runner: Runner) -> None:
    """Put the ports of the running stack into the environment, which everything here reads. Raises PortsError."""
    if runner.is_running():
        os.environ.update(Ports(layout.state).of_running(os.environ))


def up(layout: Layout, runner: Runner) -> None:
    """Start everything that does not run yet, and print where it is."""
    fetch_missing((*NEEDED, *TOOLS))
    offer(TOOLS)
    with runner.locked():
        use_ports(layout, runner)
        Ports(layout.state).remember(os.environ)
        for change in layout.write():
            print(f"secrets: {change}")
        services = Table(layout).services()
        runner.up(services)
    table = Table(layout)
    has_grafana = runner.is_running("grafana")
    print(summary(frozenset() if has_grafana else frozenset({"grafana"})))
    if names := without_pages((name, table.url(name.lower(), "/")) for name in ("Prometheus", "Alertmanager")):
        print(f"\n{advice(names)}")
        print(f"Alerts without them: .lookout/bin/amtool alert query --alertmanager.url={table.url('alertmanager')}")
    if not has_grafana:
        print(NO_GRAFANA)
    elif told := too_old_grafana(table.url("grafana", "/api/health")):
        print(f"\n{told}")


def down(layout: Layout, runner: Runner) -> None:
    """End what was started; say first which alerts end with it untold."""
    with runner.locked():
        if told := _still_firing(layout, runner):
            print(told)
        count = runner.down()
    print(f"{count} processes ended; data and logs stay in {runner.logs.parent}" if count else "nothing was running")


def _still_firing(layout: Layout, runner: Runner) -> str:
    """Return what is to be said of alerts that fire now; nothing where none does, or nobody answers."""
    try:
        use_ports(layout, runner)
    except PortsError:
        return ""  # that another shell has other ports keeps nobody from ending the stack
    return still_firing(Table(layout).url("alertmanager", FIRING)) if runner.is_running("alertmanager") else ""


def status(layout: Layout, runner: Runner) -> int:
    """Print what runs; return 1 when something does not that `make up` starts."""
    use_ports(layout, runner)
    found = runner.status(Table(layout).services())
    for name, state, url in found:
        print(f"{name:<14} {state:<16} {url}")
    if "grafana" not in {name for name, _, _ in found}:
        state = "running" if runner.is_running("grafana") else "not started"
        print(f"{'grafana':<14} {state:<16} no `grafana` on the PATH")
    return 0 if all(state == "ready" for _, state, _ in found) else 1


def reload(layout: Layout, runner: Runner) -> None:
    """Bring the configuration copies up to date and let the services read them. Raises RunError."""
    with runner.locked():
        use_ports(layout, runner)
        layout.write()
        missing = runner.reload(Table(layout).services())
    if missing:
        raise RunError("\n".join(f"{name}: not running; `make up` starts it" for name in missing))


def fault(layout: Layout, runner: Runner, arguments: list[str]) -> int:
    """Break or heal the demo where it runs; return the exit code."""
    use_ports(layout, runner)
    return subprocess.run([sys.executable, "-m", "demo.faults", *arguments]).returncode  # noqa: S603


def pin_tools(layout: Layout, runner: Runner) -> None:
    """Write down the tools that the agents list now, into the file that the user's configuration names."""
    with runner.locked():
        use_ports(layout, runner)
        layout.write()
    config = str(layout.etc / "lookout" / "exporter.yaml")
    command = [sys.executable, "-m", "exporter", "pin", "--config", config, "--log-level", "error"]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603
    said = layout.in_users_terms(result.stdout).strip()
    if result.returncode:
        raise RunError(said)
    print(said)


def check_all(layout: Layout, _runner: Runner) -> None:
    """Check every configuration file as the services would read it."""
    check(layout.root)


def check_ours(layout: Layout, _runner: Runner) -> None:
    """Check the configuration of the exporter and the sidecar, which needs no other program."""
    check(layout.root, only_ours=True)


COMMANDS: Mapping[str, Callable[[Layout, Runner], int | None]] = {
    "up": up,
    "down": down,
    "status": status,
    "reload": reload,
    "pin-tools": pin_tools,
    "check": check_all,
    "check-config": check_ours,
}
FAULT_COMMANDS = ("break", "heal")


def main(arguments: list[str] | None = None) -> int:
    """Do what the command says; 1 and a message when it cannot."""
    parser = argparse.ArgumentParser(prog="deploy.native", description=__doc__)
    parser.add_argument("command", choices=[*COMMANDS, *FAULT_COMMANDS])
    parser.add_argument("fault", nargs="*", help="for break and heal: what")
    options = parser.parse_args(arguments)
    layout = Layout(state_folder())
    runner = Runner(layout.state, in_users_terms=layout.in_users_terms)
    try:
        if options.command in FAULT_COMMANDS:
            return fault(layout, runner, [options.command, *options.fault])
        code = COMMANDS[options.command](layout, runner)
        sys.stdout.flush()
        return code or 0
    except (RunError, PortsError, SecretsError, MissingProgramError, AptError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read has seen enough (`make status | head`). What is still buffered must not fail at the very end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0 if options.command == "status" else 1
    except KeyboardInterrupt:
        print("\ninterrupted; `make down` ends what was started", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
