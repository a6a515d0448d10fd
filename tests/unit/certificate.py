"""A certificate of nobody for a server of a test; openssl makes it."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


def self_signed(folder: Path) -> Path:
    """Make a certificate for this machine, with its key beside it in the same file; the test fails without openssl."""
    made = folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", made, "-out", folder / "public.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    with made.open("a") as file:
        file.write((folder / "public.pem").read_text())
    return made


def served_with(certificate: Path) -> ssl.SSLContext:
    """What a server needs to be known by it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
