"""Results travel by a real server: OpenSSH's, on the loopback, started here."""

import getpass
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from kdlib.pipeline.lockfile import read_locked_hashes
from tests.conftest import MAINS, ROOT, Project, outputs

pytestmark = pytest.mark.slow

SSHD = shutil.which("sshd", path=f"/usr/sbin:{os.environ.get('PATH', '')}")
CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
UsePAM no
StrictModes no
AuthenticationMethods publickey
Subsystem sftp internal-sftp
"""


def lines_of(part):
    text = (ROOT / "docs/distributed.md").read_text("utf-8")
    block = re.search(rf"<!-- {part} -->\n```sh\n(.*?)```\n<!-- end of {part} -->", text, re.DOTALL)
    return block.group(1)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def greeted(port):
    """Whether a server says at the port that it speaks SSH."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def lets_in(folder, port):
    options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes"]
    options = [word for option in options for word in ("-o", option)]
    command = ["sftp", *options, "-b", "/dev/null", "-i", folder / "user", "-P", str(port), "127.0.0.1"]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An SSH server with `url` of a folder, that `folder`, and the `key` that opens it."""
    if not (SSHD and shutil.which("ssh-keygen") and sys.platform == "linux"):
        pytest.skip("no OpenSSH server of Debian's here (apt-get install openssh-server)")
    if importlib.util.find_spec("dvc_ssh") is None:
        pytest.skip("no dvc-ssh here (pip install dvc-ssh)")
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    (folder / "config").write_text(CONFIG.format(folder=folder, port=port), "utf-8")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as Debian's service does; root's sshd empties itself there
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "config"], stderr=log)
    try:
        while not greeted(port):
            assert process.poll() is None, (folder / "log").read_text("utf-8")
            time.sleep(0.1)
        if not lets_in(folder, port) and "account is locked" in (folder / "log").read_text("utf-8"):
            pytest.skip("this user's account is locked, for OpenSSH's server too")
        url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{folder}/storage"
        yield SimpleNamespace(url=url, folder=folder / "storage", key=folder / "user")
    finally:
        process.terminate()
        process.wait()


def clone(project, folder, environment):
    """What another machine has: what is in git, and caches of its own."""
    subprocess.run(["git", "clone", "--quiet", project.folder, folder], check=True)
    caches = {name: f"{folder}-caches" for name in environment if name.startswith("DVC_") and name.endswith("_DIR")}
    return Project(folder, environment | caches)


def knows(project, server):
    project.dvc("remote", "modify", "--local", "storage", "keyfile", str(server.key))
    return project


@pytest.fixture(scope="module")
def travelled(project, server, tmp_path_factory):
    """(the machine that pushed, the one that pulled, what its commands say), by the lines of the docs."""
    folder = tmp_path_factory.mktemp("machines")
    here = project.copy(folder / "here")
    share = lines_of("share").replace("ssh://you@server/srv/kdlib", server.url)
    add, commit, push = share.splitlines()
    here.run("bash", "-e", "-c", add)
    here.run("bash", "-e", "-c", commit)
    knows(here, server).run("bash", "-e", "-c", push)
    there = knows(clone(here, folder / "there", project.environment), server)
    return here, there, there.run("bash", "-e", "-c", lines_of("fetch")).stdout


def test_the_other_machine_runs_nothing(travelled):
    *_, said = travelled
    assert "fetched" in said
    assert [stage for stage in MAINS if f"Stage '{stage}' didn't change, skipping" not in said] == []
    assert "Running stage" not in said


def test_it_has_the_same_bytes(travelled, project):
    _, there, _ = travelled
    assert there.files() == project.files()
    assert there.is_as_committed(".")


def test_what_was_run_before_is_not_run_again(travelled):
    """Of all but `evaluate`, by the run cache, though the lock and the cache are gone."""
    _, there, _ = travelled
    for path in (path for stage in MAINS for path in outputs(stage)):
        there.remove(path)
    (there.folder / "dvc.lock").unlink()
    assert set(there.ran("repro")) == {"evaluate"}
    there.run("git", "checkout", "--quiet", "--", ".")
    there.dvc("checkout")


def test_a_flipped_byte_on_the_server_is_found_from_afar(travelled, server):
    _, there, _ = travelled
    hashes = {path: md5 for (_, path), md5 in read_locked_hashes(there.folder)[0].items()}
    stored = server.folder / "files/md5" / hashes["models/student.npz"][:2] / hashes["models/student.npz"][2:]
    content = bytearray(stored.read_bytes())
    content[-1] ^= 1
    stored.chmod(0o644)
    stored.write_bytes(content)
    process = there.python("-m", "kdlib.pipeline.audit", check=False)
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1].startswith("error: models/student.npz of distill: here ")
    assert [line.split()[1] for line in process.stdout.splitlines() if line.endswith("differs")] == [
        "models/student.npz"
    ]


def test_a_server_that_lets_nobody_in_is_told_in_one_line(travelled, tmp_path):
    stranger = travelled[1].copy(tmp_path / "stranger")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    knows(stranger, SimpleNamespace(key=tmp_path / "key"))
    process = stranger.python("-m", "kdlib.pipeline.audit", check=False)
    assert (process.returncode, process.stdout) == (1, "")
    (line,) = [line for line in process.stderr.splitlines() if "%" not in line]
    assert line.startswith("error: remote storage: cannot be read (PermissionError: ")
