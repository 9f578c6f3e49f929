"""Proxies that are measured beside us, and the load generator: Debian packages, unpacked and never installed."""

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from deploy.native import apt
from deploy.native.packages import MissingProgramError, folder, lock

PACKAGES = {
    "nginx": ("usr/sbin/nginx", ("nginx",)),
    "caddy": ("usr/bin/caddy", ("caddy",)),
    "haproxy": ("usr/sbin/haproxy", ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")),
    "apache": (
        "usr/sbin/apache2",
        ("apache2-bin", "libapache2-mod-auth-openidc", "libapr1", "libaprutil1", "libcjose0", "libhiredis0.14",
         "libjansson4", "libcurl4", "libnghttp2-14", "librtmp1", "libssh2-1", "libpsl5", "libldap-2.5-0", "libbrotli1"),
    ),
    "wrk": ("usr/bin/wrk", ("wrk", "libluajit-5.1-2")),
}  # fmt: skip
"""Where each program is in its packages, its libraries' packages included."""


@cache
def program(name: str) -> Path:
    """Return a program that runs with `environment()`; raises MissingProgramError where there is no Debian mirror."""
    binary, packages = PACKAGES[name]
    base = folder() / "proxies"
    with lock(base.with_suffix(".lock")):
        if not (base / name).exists():
            _fetch(name, packages, base)
    return base / name / binary


def environment(name: str) -> dict[str, str]:
    """Return the environment in which an unpacked program finds its libraries."""
    libraries = program(name).parents[1] / "lib"
    triplets = [str(path) for path in libraries.glob("*-linux-gnu")]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(triplets)}


def _fetch(name: str, packages: tuple[str, ...], base: Path) -> None:
    uri = apt.mirror()
    if uri is None:
        raise MissingProgramError(f"{name} comes from a Debian package, and this machine has no Debian mirror")
    base.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=base) as temporary:
        work = Path(temporary)
        for archive in apt.download(apt.configure(work / "apt", "bookworm", uri), packages, work):
            apt.unpack(archive, work / "root")
        shutil.move(work / "root", base / name)
