"""Debian's Chromium, headless, driven over a pipe by the DevTools protocol."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

FOUND = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Chromium:
    """One page. Its commands are on descriptor 3, its answers on 4, each ended by a NUL."""

    def __init__(self, profile: Path) -> None:
        assert FOUND
        # no sandbox: in a container root may not make one, and the pages are our own
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        self._process = subprocess.Popen(
            ["sh", "-c", 'exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null', FOUND]
            + [*options, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._numbers = itertools.count(1)
        self._session: dict[str, str] = {}
        self._left = b""
        self.errors: list[str] = []
        """What the page's scripts complained of, and what it could not load."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()

    def send(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        assert self._process.stdin
        command = {"id": number, "method": method, "params": params, **self._session}
        self._process.stdin.write(json.dumps(command).encode() + b"\0")
        self._process.stdin.flush()
        while True:
            told = self._receive()
            if told.get("id") == number:
                assert "error" not in told, told
                return told["result"]

    def wait_for(self, event: str) -> None:
        while self._receive().get("method") != event:
            pass

    def _receive(self) -> Any:
        assert self._process.stdout
        while b"\0" not in self._left:
            some = self._process.stdout.read1()  # type: ignore[attr-defined]
            assert some, "Chromium has ended"
            self._left += some
        message, _, self._left = self._left.partition(b"\0")
        told = json.loads(message)
        if told.get("method") == "Runtime.exceptionThrown":
            self.errors.append(told["params"]["exceptionDetails"]["text"])
        elif told.get("method") == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
            self.errors.append(f"{told['params']['entry']['text']} {told['params']['entry'].get('url', '')}")
        return told

    def open(self, url: str, width: int = 1280, height: int = 900) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        self.send("Page.navigate", url=url)
        self.wait_for("Page.loadEventFired")

    def value(self, script: str) -> Any:
        """Of a JavaScript expression, which may be a promise."""
        done = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))
