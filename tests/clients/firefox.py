"""Firefox without a window, driven by its Marionette protocol: messages `length:[type, number, command, arguments]`."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.clients.chromium import PATIENCE, Browser

FIREFOX = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Firefox:
    """A window with a profile in `folder`, a Path, whose proxy leads nowhere."""

    def __init__(self, folder):
        port = free_port()
        prefs = {"marionette.port": port, "network.proxy.type": 1}
        for kind in ("http", "ssl"):
            prefs |= {f"network.proxy.{kind}": "127.0.0.1", f"network.proxy.{kind}_port": 9}
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in prefs.items()]
        (folder / "user.js").write_text("".join(lines), "utf-8")
        command = [FIREFOX, "--headless", "--marionette", "--no-remote", "--profile", str(folder)]
        environment = os.environ | {"HOME": str(folder), "MOZ_HEADLESS": "1"}
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._socket, self._number, end = None, 0, time.monotonic() + PATIENCE
        while self._socket is None:
            try:
                self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
            except OSError:
                assert time.monotonic() < end, "firefox has not started"
                time.sleep(0.1)
        self._file = self._socket.makefile("rb")
        self._read()
        self.send("WebDriver:NewSession")

    def _read(self):
        length = b""
        while not length.endswith(b":"):
            byte = self._file.read(1)
            assert byte, "firefox has ended"
            length += byte
        return json.loads(self._file.read(int(length[:-1])))

    def send(self, command, **arguments):
        self._number += 1
        message = json.dumps([0, self._number, command, arguments])
        self._socket.sendall(f"{len(message.encode())}:{message}".encode())
        _, _, error, result = self._read()
        assert error is None, error
        return result

    def open(self, path):
        self.send("WebDriver:Navigate", url=Path(path).resolve().as_uri())

    def value(self, expression):
        return self.send("WebDriver:ExecuteScript", script=f"return ({expression});", args=[])["value"]

    until = Browser.until

    def close(self):
        with contextlib.suppress(OSError):
            self._socket.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
