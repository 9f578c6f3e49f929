"""Certificates for tests, made by openssl: an authority, a server, and clients with a SPIFFE id."""

import subprocess
from pathlib import Path


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def authority(folder: Path) -> Path:
    """Make an authority and return its certificate."""
    folder.mkdir(exist_ok=True)
    subject = ["-subj", "/CN=test authority", "-days", "2"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    _openssl("req", "-x509", *curve, "-nodes", "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.pem", *subject)
    return folder / "ca.pem"


def issued(folder: Path, name: str, alternative_name: str) -> tuple[Path, Path]:
    """Return certificate and key signed by the folder's authority for that subject alternative name."""
    key, request, certificate = (folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
    extensions = folder / f"{name}.ext"
    extensions.write_text(f"subjectAltName={alternative_name}\n")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    _openssl("req", *curve, "-nodes", "-keyout", str(key), "-out", str(request), "-subj", f"/CN={name}")
    signed_by = ["-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key", "-CAcreateserial", "-days", "1"]
    _openssl("x509", "-req", "-in", str(request), *signed_by, "-extfile", str(extensions), "-out", str(certificate))
    key.chmod(0o600)
    return certificate, key
