#!/usr/bin/env python3
"""Workloads in containers of a real Podman: what the agent's docker attestor says of them, asked over Podman's own
Docker-compatible socket. Containers run the host's `signet` from read-only mounts and reach the agent's socket.

usage: podman_test.py --bin DIR
Needs root, podman and runc (else it is skipped: 77), and what tests/conformance needs.
"""
import argparse
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "conformance"))

from processes import Agent, Server  # pylint: disable=wrong-import-position

PATIENCE = 60
SKIPPED = 77
WEB = "spiffe://example.org/web"


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not {what} within {PATIENCE} s")
        time.sleep(0.05)


class Podman:
    """Containers in a storage of their own."""

    def __init__(self, folder):
        self.folder = folder
        self.base = ["podman", "--root", folder + "/storage", "--runroot", folder + "/run", "--storage-driver", "vfs",
                     "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "none"]
        self.socket = folder + "/podman.sock"

    def run(self, *arguments, check=True, **how):
        return subprocess.run([*self.base, *arguments], check=check, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=PATIENCE, text=True, **how)

    def serve(self):
        with open(self.folder + "/podman.log", "w", encoding="utf-8") as log:
            self.service = subprocess.Popen(  # pylint: disable=consider-using-with
                [*self.base, "system", "service", "--time=0", "unix://" + self.socket], stdout=log, stderr=log)
        until(lambda: os.path.exists(self.socket), "listening: podman")

    def stop(self):
        self.run("rm", "--all", "--force", "--time=0", check=False)
        self.service.send_signal(signal.SIGTERM)
        self.service.wait()

    def make_image(self, name):
        """Folders to mount on, and the links of a merged /usr: programs come from the host."""
        path = self.folder + "/image.tar"
        with tarfile.open(path, "w") as archive:
            for folder in ("usr", "run", "proc", "dev", "sys", "tmp", "etc", "agent", "signet"):
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            for link in ("bin", "lib", "lib64"):
                entry = tarfile.TarInfo(link)
                entry.type, entry.linkname = tarfile.SYMTYPE, "usr/" + link
                archive.addfile(entry)
            content = b"root:x:0:0::/:/bin/sh\n"
            entry = tarfile.TarInfo("etc/passwd")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        self.run("import", path, name)
        return json.loads(self.run("image", "inspect", name).stdout)[0]["Id"]


class Containers(unittest.TestCase):
    """One server, one agent, one Podman."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="signet-podman-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.podman = Podman(self.folder)
        self.digest = self.podman.make_image("localhost/workload:1")
        self.podman.serve()
        self.addCleanup(self.podman.stop)
        self.server = Server(ARGUMENTS.bin, self.folder, {})
        self.addCleanup(self.server.stop)
        self.server.wait_ready()
        join = {"bundle": self.signet("bundle", "show", "--format", "pem"), "token": self.signet("token", "create").strip()}
        self.agent = Agent(ARGUMENTS.bin, self.folder, self.server, join, {
            "attestors": {"docker": {"podman_socket_path": self.podman.socket, "env": ["COLOR"]}}})
        self.addCleanup(self.agent.stop)
        self.agent.wait_ready()
        self.node = json.loads(self.signet("agent", "list", "-o", "json"))[0]["id"]

    def signet(self, *arguments):
        command = [os.path.join(ARGUMENTS.bin, "signet"), "--socket", self.server.admin, *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def grant(self, path, *selectors):
        options = [word for selector in selectors for word in ("--selector", selector)]
        self.signet("entry", "create", "--spiffe-id", "spiffe://example.org" + path, "--parent-id", self.node, *options)

    def fetch(self, *options):
        """The identities a container with these options gets; none when no entry fits it."""
        mounts = ["/usr:/usr:ro", f"{os.path.abspath(ARGUMENTS.bin)}:/signet:ro", f"{self.agent.socket}:/agent/api.sock"]
        done = self.podman.run(
            "run", "--rm", "--network=none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096",
            *[word for mount in mounts for word in ("--volume", mount)], *options, "localhost/workload:1",
            # A sanitized program finds no file of suppressions in there.
            "/usr/bin/env", "TSAN_OPTIONS=ignore_noninstrumented_modules=1:report_bugs=0",
            "/signet/signet", "x509", "fetch", "--agent-socket", "/agent/api.sock", "-o", "json", check=False)
        if done.returncode == 5:
            return []
        self.assertEqual(done.returncode, 0, done.stderr)
        return sorted(svid["spiffe_id"] for svid in json.loads(done.stdout))

    def test_labels_image_and_allowed_variables_of_real_containers_are_selectors(self):
        self.grant("/web", "docker:label:team:web")
        self.grant("/image", "docker:label:team:web", "docker:image_id:localhost/workload:1",
                   f"docker:image_config_digest:sha256:{self.digest}")
        self.grant("/blue", "docker:env:COLOR=blue")
        self.grant("/secret", "docker:env:PASSWORD=hunter2")
        until(lambda: self.fetch("--label", "team=web"), "granted")
        self.assertEqual(self.fetch("--label", "team=web"), ["spiffe://example.org/image", WEB])
        self.assertEqual(self.fetch("--label", "team=db"), [])
        self.assertEqual(self.fetch("--env", "COLOR=blue", "--env", "PASSWORD=hunter2"), ["spiffe://example.org/blue"])
        self.assertEqual(self.fetch(), [])
        # The same program outside of a container.
        outside = subprocess.run([os.path.join(ARGUMENTS.bin, "signet"), "x509", "fetch", "--agent-socket", self.agent.socket],
                                 check=False, stderr=subprocess.DEVNULL)
        self.assertEqual(outside.returncode, 5)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    if os.geteuid() != 0 or not (shutil.which("podman") and shutil.which("runc")):
        print("left out: needs root, podman and runc")
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0], *rest])
