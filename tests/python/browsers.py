"""Headless Chromium and Firefox, driven over a WebSocket each of them opens itself.

Chromium speaks the DevTools protocol, Firefox speaks WebDriver BiDi; neither needs a driver program beside it.
Both classes offer the same five things: `open`, `evaluate`, `screenshot`, `close`, and `with`.
What is looked for in a page is none of this file's business.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.request
from typing import Any

import websocket

STARTING = 60
"""Seconds a browser may take to open its port."""


class BrowserError(RuntimeError):
    """A browser that does not start, or a script that fails in it."""


class _Browser:
    """A browser process with its throw-away profile, and numbered calls over its socket."""

    name = ""
    binary = ""

    def __init__(self) -> None:
        program = shutil.which(self.binary)
        if program is None:
            raise BrowserError(f"{self.binary} is not installed; `cargo xtask test browser` installs it")
        self._numbers = itertools.count(1)
        self._profile = pathlib.Path(tempfile.mkdtemp(prefix="spinbot-browser-"))
        self._log = open(self._profile / "log", "wb")  # noqa: SIM115 (lives as long as the process)
        environment = dict(os.environ, HOME=str(self._profile), MOZ_HEADLESS="1")
        self._process = subprocess.Popen(
            [program, *self._arguments()], stdout=self._log, stderr=self._log, env=environment
        )
        try:
            self._socket = self._connect()
            self._prepare()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the browser and removes its profile."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        shutil.rmtree(self._profile, ignore_errors=True)

    def _arguments(self) -> list[str]:
        raise NotImplementedError

    def _connect(self) -> websocket.WebSocket:
        raise NotImplementedError

    def _prepare(self) -> None:
        raise NotImplementedError

    def _patiently(self, attempt) -> Any:
        """Repeats `attempt` until it stops raising `OSError` or the browser dies."""
        end = time.monotonic() + STARTING
        while True:
            try:
                return attempt()
            except (OSError, websocket.WebSocketException) as error:
                if self._process.poll() is not None or time.monotonic() > end:
                    said = (self._profile / "log").read_text(errors="replace")[-2000:]
                    raise BrowserError(f"{self.name} does not start: {error}\n{said}") from error
            time.sleep(0.1)

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == number:
                if "error" in answer:
                    raise BrowserError(f"{self.name}: {method}: {answer}")
                return answer["result"]
            self._notice(answer)

    def _notice(self, event: dict[str, Any]) -> None:
        """Looks at what the browser says unasked."""


class Chromium(_Browser):
    """Debian's `chromium` over the DevTools protocol."""

    name = "chromium"
    binary = "chromium"

    def _arguments(self) -> list[str]:
        return [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--autoplay-policy=no-user-gesture-required",
            "--window-size=1200,3000",
            "--remote-debugging-port=0",
            "--remote-allow-origins=*",
            f"--user-data-dir={self._profile}",
            "about:blank",
        ]

    def _connect(self) -> websocket.WebSocket:
        def port() -> str:
            return (self._profile / "DevToolsActivePort").read_text().split()[0]

        def page() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port()}/json/list", timeout=10) as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
            if not pages:
                raise OSError("no page yet")
            return pages[0]["webSocketDebuggerUrl"]

        return self._patiently(lambda: websocket.create_connection(page(), timeout=60, suppress_origin=True))

    def _prepare(self) -> None:
        self._call("Page.enable")

    def open(self, url: str) -> None:
        """Goes to `url` and waits until the page has loaded."""
        # The old document stays readable for a moment after the answer: a mark on it tells the two apart.
        self.evaluate("window.__before = true")
        answer = self._call("Page.navigate", url=url)
        if "errorText" in answer:
            raise BrowserError(f"{url}: {answer['errorText']}")
        end = time.monotonic() + STARTING
        while not self.evaluate("!window.__before && document.readyState == 'complete'"):
            if time.monotonic() > end:
                raise BrowserError(f"{url} does not load")
            time.sleep(0.1)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        answer = self._call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise BrowserError(f"{self.name}: {json.dumps(answer['exceptionDetails'])[:2000]}")
        return answer["result"].get("value")

    def screenshot(self, path: pathlib.Path) -> None:
        """Writes what is visible as PNG."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def _notice(self, event: dict[str, Any]) -> None:
        # "Leave this page?" and its like: always yes, or every later call waits for ever.
        if event.get("method") == "Page.javascriptDialogOpening":
            answer = {
                "id": next(self._numbers),
                "method": "Page.handleJavaScriptDialog",
                "params": {"accept": True},
            }
            self._socket.send(json.dumps(answer))


class Firefox(_Browser):
    """Debian's `firefox-esr` over WebDriver BiDi."""

    name = "firefox"
    binary = "firefox-esr"

    PREFERENCES = {
        "app.update.enabled": False,
        "browser.shell.checkDefaultBrowser": False,
        "datareporting.policy.dataSubmissionEnabled": False,
        "media.autoplay.blocking_policy": 0,
        "media.autoplay.default": 0,
        "network.captive-portal-service.enabled": False,
        "network.connectivity-service.enabled": False,
    }

    def _arguments(self) -> list[str]:
        lines = (f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in self.PREFERENCES.items())
        (self._profile / "user.js").write_text("".join(lines))
        return [
            "--headless",
            "--no-remote",
            "--profile",
            str(self._profile),
            "--remote-debugging-port=0",
            "about:blank",
        ]

    def _connect(self) -> websocket.WebSocket:
        def port() -> int:
            return json.loads((self._profile / "WebDriverBiDiServer.json").read_text())["ws_port"]

        return self._patiently(
            lambda: websocket.create_connection(f"ws://127.0.0.1:{port()}/session", timeout=60, suppress_origin=True)
        )

    def _prepare(self) -> None:
        self._call("session.new", capabilities={"alwaysMatch": {}})
        self._context = self._call("browsingContext.getTree")["contexts"][0]["context"]

    def open(self, url: str) -> None:
        """Goes to `url` and waits until the page has loaded."""
        self._call("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        answer = self._call(
            "script.callFunction",
            # Through JSON, because BiDi's own values come as typed pairs.
            functionDeclaration=f"async () => JSON.stringify(await ({script}) ?? null)",
            awaitPromise=True,
            target={"context": self._context},
            userActivation=True,
        )
        if answer["type"] != "success":
            raise BrowserError(f"{self.name}: {json.dumps(answer)[:2000]}")
        return json.loads(answer["result"]["value"])

    def screenshot(self, path: pathlib.Path) -> None:
        """Writes what is visible as PNG."""
        path.write_bytes(
            base64.b64decode(self._call("browsingContext.captureScreenshot", context=self._context)["data"])
        )


BROWSERS = {browser.name: browser for browser in (Chromium, Firefox)}
"""By the name people type."""
