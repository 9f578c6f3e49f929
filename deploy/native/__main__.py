"""Run the stack without Docker: python -m deploy.native up|down|status|reload|check."""

import argparse
import sys

from deploy.native.apt import AptError
from deploy.native.check import check
from deploy.native.layout import Layout, state_folder
from deploy.native.packages import MissingProgramError, fetch_missing
from deploy.native.runner import RunError, Runner
from deploy.native.services import NEEDED, Table
from deploy.prepare import SecretsError
from deploy.urls import summary

NO_GRAFANA = """
Grafana is not among them: there is no `grafana` on the PATH and Debian has no package of it. To see the dashboards
install it (https://grafana.com/docs/grafana/latest/setup-grafana/installation/) and run `make up` again, or install
Docker with Compose, where it is included. The status page shows the essence without it."""


def up(layout: Layout, runner: Runner) -> None:
    """Start everything that does not run yet, and print where it is."""
    fetch_missing(NEEDED)
    with runner.locked():
        for change in layout.write():
            print(f"secrets: {change}")
        services = Table(layout).services()
        runner.up(services)
    has_grafana = any(service.name == "grafana" for service in services)
    print(summary(frozenset() if has_grafana else frozenset({"grafana"})))
    if not has_grafana:
        print(NO_GRAFANA)


def down(_layout: Layout, runner: Runner) -> None:
    """End what was started."""
    with runner.locked():
        count = runner.down()
    print(f"{count} processes ended; data and logs stay in {runner.logs.parent}" if count else "nothing was running")


def status(layout: Layout, runner: Runner) -> None:
    """Print what runs."""
    for name, state, url in runner.status(Table(layout).services()):
        print(f"{name:<14} {state:<16} {url}")


def reload(layout: Layout, runner: Runner) -> None:
    """Bring the configuration copies up to date and let the services read them."""
    with runner.locked():
        layout.write()
        runner.reload(Table(layout).services())


def check_all(layout: Layout, _runner: Runner) -> None:
    """Check every configuration file as the services would read it."""
    check(layout.root)


COMMANDS = {"up": up, "down": down, "status": status, "reload": reload, "check": check_all}


def main(arguments: list[str] | None = None) -> int:
    """Do what the command says; 1 and a message when it cannot."""
    parser = argparse.ArgumentParser(prog="deploy.native", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    options = parser.parse_args(arguments)
    layout = Layout(state_folder())
    try:
        COMMANDS[options.command](layout, Runner(layout.state, in_users_terms=layout.in_users_terms))
    except (RunError, SecretsError, MissingProgramError, AptError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; `make down` ends what was started", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
