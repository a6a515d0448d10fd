"""The application's users: requests at a fixed rate to the gateway, each remembered with the version that answered."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from hack.lib.hgdemo.waiting import Trouble, until

LONGEST = "60m"


@dataclass(frozen=True, slots=True)
class Request:
    """What became of one request."""

    at: float
    """When it was sent, in seconds since the epoch."""
    seconds: float
    version: str
    """Who answered; empty if the application did not."""
    status: int
    failure: str
    """Why the application did not answer: refused, reset, closed, timeout, gateway_503; empty if it did."""
    phase: str

    @property
    def ended(self) -> float:
        """When its answer was there."""
        return self.at + self.seconds

    @property
    def failed(self) -> bool:
        """Whether its user got anything but a good answer."""
        return bool(self.failure) or self.status >= 500


@dataclass
class _Sender:
    process: subprocess.Popen[bytes]
    log: Path
    read: int = 0
    rest: str = ""
    began: float = 0.0


@dataclass
class Traffic:
    """Sends requests in the background; may be paused and goes on with the same record."""

    program: Path
    url: str
    host: str
    folder: Path
    rate: float = 50
    header: str = ""
    """One more header that each request has, as `NAME: VALUE`."""
    requests: list[Request] = field(default_factory=list)
    _senders: list[_Sender] = field(default_factory=list)

    def start(self, phase: str) -> None:
        """Begin to send."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"requests-{len(self._senders) + 1}.tsv"
        log.unlink(missing_ok=True)
        self._control.write_text(phase)
        words = [str(self.program), "load", "--url", f"{self.url}/", "--host", self.host, "--rate", f"{self.rate:g}"]
        words += ["--duration", LONGEST, "--phase", phase, "--control", str(self._control), "--log", str(log)]
        words += ["--header", self.header] if self.header else []
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # an interrupt of the demonstration must not end it before the record is complete
        )
        self._senders.append(_Sender(process, log))

    def mark(self, phase: str) -> None:
        """Requests from now on belong to another phase."""
        fresh = self._control.with_suffix(".new")
        fresh.write_text(phase)
        fresh.rename(self._control)

    def pause(self) -> None:
        """Send no more, wait for the answers under way, and complete the record."""
        for sender in self._senders:
            if sender.process.poll() is None:
                sender.process.send_signal(signal.SIGTERM)
                try:
                    sender.process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    sender.process.kill()
                    sender.process.wait()
            if sender.process.stderr is not None:
                sender.process.stderr.close()
        self.read()

    @property
    def sending(self) -> bool:
        """Whether requests are under way."""
        return any(sender.process.poll() is None for sender in self._senders)

    def read(self) -> list[Request]:
        """Take over what has been recorded since; gives all requests so far (the log is a second behind)."""
        for sender in self._senders:
            self._read(sender)
        return self.requests

    def check(self) -> None:
        """See that the sender lives.

        Raises:
            Trouble: if it has ended by itself.
        """
        last = self._senders[-1].process
        if last.poll() not in (None, 0):
            said = last.stderr.read().decode(errors="replace") if last.stderr and not last.stderr.closed else ""
            raise Trouble(f"the load generator ended with exit code {last.returncode}: {said.strip()}")

    def flows(self, *, timeout: float = 30) -> None:
        """Wait until ten requests in a row were answered well."""

        def well() -> bool:
            self.check()
            last = self.read()[-10:]
            return len(last) == 10 and not any(each.failed for each in last)

        until("ten good answers in a row", well, timeout=timeout, seen=lambda: describe(self.requests[-10:]))

    def until(self, what: str, check: Callable[[list[Request]], bool], *, timeout: float) -> None:
        """Wait until the record satisfies something."""
        until(what, lambda: check(self.read()), timeout=timeout, seen=lambda: describe(self.requests[-100:]))

    def since(self, at: float) -> list[Request]:
        """Requests that were sent from this moment on."""
        return [each for each in self.read() if each.at >= at]

    def recorded_until(self, at: float, *, timeout: float = 20) -> None:
        """Wait until the record reaches beyond this moment."""
        self.until("a complete record of requests", lambda found: bool(found) and found[-1].at > at, timeout=timeout)

    @property
    def _control(self) -> Path:
        return self.folder / "phase"

    def _read(self, sender: _Sender) -> None:
        if not sender.log.exists():
            return
        with sender.log.open("rb") as file:
            file.seek(sender.read)
            fresh = file.read()
        sender.read += len(fresh)
        *lines, sender.rest = (sender.rest + fresh.decode()).split("\n")
        for line in lines:
            if line.startswith("# started "):
                sender.began = _epoch(line.removeprefix("# started "))
            elif line and not line.startswith("#"):
                self.requests.append(_request(line, sender.began))


def _request(line: str, began: float) -> Request:
    offset, version, status, latency, failure, phase = line.split("\t")
    return Request(
        at=began + int(offset) / 1e6,
        seconds=int(latency) / 1e6,
        version="" if version == "-" else version,
        status=int(status),
        failure="" if failure == "-" else failure,
        phase=phase,
    )


def _epoch(text: str) -> float:
    whole, _, fraction = text.strip().removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + (float(f"0.{fraction}") if fraction else 0.0)


def shares(requests: Iterable[Request]) -> dict[str, float]:
    """The share of each version in percent; `-` stands for requests that no version answered."""
    counted = Counter(each.version or "-" for each in requests)
    total = sum(counted.values())
    return {version: 100 * number / total for version, number in sorted(counted.items())}


def success(requests: Iterable[Request]) -> dict[str, float]:
    """The share of good answers of each version in percent."""
    all_of: Counter[str] = Counter()
    good: Counter[str] = Counter()
    for each in requests:
        all_of[each.version or "-"] += 1
        good[each.version or "-"] += not each.failed
    return {version: 100 * good[version] / number for version, number in sorted(all_of.items())}


def describe(requests: Iterable[Request]) -> str:
    """Counts of what happened, for a message."""
    counted = Counter(f"{each.version or '-'} {each.failure or each.status}" for each in requests)
    return ", ".join(f"{number} x {what}" for what, number in counted.most_common()) or "no request"


def recent(requests: list[Request], seconds: float, now: float | None = None) -> list[Request]:
    """The requests of the last seconds; the record is a second behind, so they end a second ago."""
    end = now if now is not None else time.time()
    found = []
    for each in reversed(requests):
        if each.at < end - seconds:
            break
        found.append(each)
    return found
