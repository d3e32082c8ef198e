"""A real JupyterLab in a headless Chromium: opening notebooks, trusting them, running them.

JupyterLab is started with `--expose-app-in-browser`, so that pages are driven by its own commands and not by
guessing at its buttons. What is looked for in the outputs is the business of whoever opened it.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

from browsers import Chromium

PANEL = "[...(window.jupyterapp?.shell.widgets('main') ?? [])].find((w) => w.content?.model?.cells)"
"""JavaScript: the open notebook. Not `shell.currentWidget`, which a page without focus does not set."""
LOADING = 90
"""Seconds JupyterLab may take to start or to open a notebook."""


class Lab:
    """A JupyterLab server on a folder of its own, and a browser looking at it."""

    def __init__(self) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="spinbot-lab-"))
        self._log = open(self.folder / "lab.log", "wb")  # noqa: SIM115 (lives as long as the server)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        # Settings and trust marks of the user stay out of it; the kernels and the media do not move.
        self._environment = dict(os.environ)
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            self._environment[name] = str(self.folder / ".jupyter" / name.lower())
        self._server = subprocess.Popen(
            [
                sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser",
                "--ip=127.0.0.1", f"--port={self.port}", "--ServerApp.port_retries=0",
                f"--ServerApp.root_dir={self.folder}", "--IdentityProvider.token=t",
                "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=",
            ],
            stdout=self._log, stderr=self._log, env=self._environment,
        )  # fmt: skip
        self.browser: Chromium | None = None
        try:
            self._until(self._answers, "JupyterLab does not start")
            self.browser = Chromium()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends browser and server (which ends its kernels), and removes the folder."""
        if self.browser is not None:
            self.browser.close()
        self._server.terminate()
        try:
            self._server.wait(30)
        except subprocess.TimeoutExpired:
            self._server.kill()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def open(self, notebook: pathlib.Path, trusted: bool, beside: list[pathlib.Path] = ()) -> None:
        """Opens a copy of `notebook`, with copies of the files and folders `beside` it."""
        name = f"{notebook.stem.replace('.', '-')}-{'trusted' if trusted else 'untrusted'}.ipynb"
        shutil.copy(notebook, self.folder / name)
        for path in beside:
            copy = shutil.copytree if path.is_dir() else shutil.copy
            if not (self.folder / path.name).exists():
                copy(path, self.folder / path.name)
        if trusted:
            subprocess.run(
                [sys.executable, "-m", "jupyter", "trust", str(self.folder / name)],
                env=self._environment, check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        # Away first, so that the address with only another file name is loaded anew.
        self.browser.open("about:blank")
        self.browser.open(f"http://127.0.0.1:{self.port}/lab/tree/{name}?token=t&reset")
        self._until(
            lambda: self.browser.evaluate(
                f"{PANEL}?.context.isReady && {PANEL}.content.model.cells.length > 0"
                " && !!document.querySelector('.jp-CodeCell')"
            ),
            f"JupyterLab does not open {name}",
        )
        # JupyterLab draws cells that are out of sight late; scrolled to, every one of them is drawn.
        self.browser.evaluate(
            """(async () => {
              const panel = PANEL;
              window.jupyterapp.shell.activateById(panel.id);
              const notebook = panel.content;
              for (let i = 0; i < notebook.widgets.length; i++) {
                // Its promise may never settle in a page nobody looks at.
                notebook.scrollToItem(i).catch(() => {});
                await new Promise((resolve) => setTimeout(resolve, 150));
              }
              return true;
            })()""".replace("PANEL", PANEL)
        )

    def run_all(self, seconds: float) -> None:
        """Runs every cell and waits, for `seconds` at most, until the last has an execution count or one failed."""
        self.browser.evaluate(f"{PANEL}.sessionContext.ready.then(() => true)")
        # Not awaited: the socket's patience is shorter than a notebook may take.
        self.browser.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
        self._until(
            lambda: self.browser.evaluate(f"{PANEL}.sessionContext.session.kernel.status") == "idle",
            "no kernel",
        )
        counts = f"""[...{PANEL}.content.model.cells]
            .filter((cell) => cell.type === 'code' && cell.sharedModel.source.trim())
            .map((cell) => cell.executionCount)"""
        self._until(
            lambda: all(self.browser.evaluate(counts)) or any(self.errors()),
            "the notebook is still running",
            seconds,
        )

    def errors(self) -> list[str]:
        """The error outputs of the open notebook, as `ename: evalue`."""
        return [f"{o.get('ename')}: {o.get('evalue')}" for o in self.outputs() if o["output_type"] == "error"]

    def outputs(self) -> list[dict[str, Any]]:
        """Every output in the open notebook's model, in order."""
        found = self.browser.evaluate(
            f"""JSON.stringify([...{PANEL}.content.model.cells]
                .filter((cell) => cell.type === 'code').flatMap((cell) => cell.outputs.toJSON()))"""
        )
        return json.loads(found)

    def media(self) -> list[dict[str, Any]]:
        """The media and pictures really standing in the page's outputs, and whether each plays or is drawn."""
        return self.browser.evaluate(
            """(async () => {
              const found = [];
              for (const element of document.querySelectorAll('.jp-OutputArea-output :is(video, audio, img)')) {
                const about = {tag: element.tagName.toLowerCase(), title: element.title || element.alt || ''};
                if (about.tag === 'img') {
                  about.ok = element.complete && element.naturalWidth > 0;
                } else {
                  element.muted = true;
                  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
                  await Promise.race([element.play().catch((e) => { about.why = String(e); }), wait(5000)]);
                  await wait(700);
                  about.ok = element.currentTime > 0.2 && !element.error;
                  about.duration = element.duration;
                  about.width = element.videoWidth;
                  element.pause();
                }
                found.push(about);
              }
              return found;
            })()"""
        )

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def _until(self, holds, otherwise: str, seconds: float = LOADING) -> None:
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end or self._server.poll() is not None:
                said = (self.folder / "lab.log").read_text(errors="replace")[-2000:]
                raise TimeoutError(f"{otherwise} after {seconds} s\n{said}")
            time.sleep(0.3)
