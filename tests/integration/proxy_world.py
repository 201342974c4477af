"""What end-to-end tests in Python share: a server, an agent that tells its callers apart by their executables, and
proxies, all real programs in a folder of their own."""
import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "conformance"))

from processes import Process, Server  # pylint: disable=wrong-import-position

PATIENCE = 30
CAP_SYS_PTRACE = 19


def may_look_into_proxies():
    """Proxies are not dumpable: only who has this capability sees what they execute, or they allow it."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"CapEff:\s*(\w+)", status).group(1), 16) >> CAP_SYS_PTRACE & 1 == 1


class Agent(Process):
    """A signet-agent that tells its callers apart by their executables."""

    def __init__(self, binaries, folder, server, bundle, token):
        self.folder, self.socket = os.path.join(folder, "agent"), os.path.join(folder, "agent", "api.sock")
        os.mkdir(self.folder)
        trusted, path = os.path.join(self.folder, "bundle.pem"), os.path.join(self.folder, "agent.yaml")
        pathlib.Path(trusted).write_text(bundle, encoding="ascii")
        settings = {"trust_domain": "example.org", "data_dir": os.path.join(self.folder, "data"),
                    "server": f"127.0.0.1:{server.port}", "socket": self.socket, "trust_bundle": trusted,
                    "join_token": token, "attestors": {"unix": {"discover_path": True}}}
        pathlib.Path(path).write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
        self.start([os.path.join(binaries, "signet-agent"), "run", "--config", path], self.socket)


class Proxy(Process):
    """A signet-proxy with an executable of its own, by which the agent tells it from others."""

    def __init__(self, binaries, folder, name, agent):
        self.folder, self.agent = os.path.join(folder, name), agent
        os.mkdir(self.folder)
        self.program = os.path.join(self.folder, name + "-proxy")
        shutil.copy(os.path.join(binaries, "signet-proxy"), self.program)

    def run(self, config):
        path = os.path.join(self.folder, "proxy.yaml")
        config = {"workload_api": self.agent.socket, "metrics": "127.0.0.1:0", **config}
        pathlib.Path(path).write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        self.start([self.program, "run", *([] if may_look_into_proxies() else ["--inspectable"]), "--config", path], None)
        admin = self.await_line(r"health and metrics.* port=(\d+)")
        self.until(lambda: self.get(admin, "/ready") == 200, "ready")

    @staticmethod
    def get(port, path):
        client = http.client.HTTPConnection("127.0.0.1", int(port), timeout=PATIENCE)
        client.request("GET", path)
        status = client.getresponse().status
        client.close()
        return status

    def listener(self, name):
        return self.await_line(rf"listener={name} address=(\S+)")

    def text(self):
        return pathlib.Path(self.log.name).read_text(encoding="utf-8")

    def until(self, condition, what):
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = condition()
            if answer:
                return answer
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"{self.program}: not {what}\n{self.text()}")
            time.sleep(0.02)

    def await_line(self, pattern):
        return self.until(lambda: re.search(pattern, self.text()), f"logged: {pattern}").group(1)


class ProxyWorld:
    """Started once by its users: build() says what there is beside the server and the agent."""

    def __init__(self, binaries):
        self.binaries, self.folder = binaries, tempfile.mkdtemp(prefix="signet-proxies-")
        self.parts = []
        try:
            self.server = self.keep(Server(binaries, self.folder, {}))
            self.server.wait_ready()
            self.agent = self.keep(Agent(binaries, self.folder, self.server,
                                         self.signet("bundle", "show", "--format", "pem"),
                                         self.signet("token", "create").strip()))
            self.agent.wait_ready()
            self.build()
        except BaseException:
            self.stop()
            raise

    def build(self):
        raise NotImplementedError

    def signet(self, *arguments):
        command = [os.path.join(self.binaries, "signet"), "--socket", self.server.admin, *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def make_proxy(self, name):
        """With an entry for spiffe://example.org/NAME; not started yet."""
        node = json.loads(self.signet("agent", "list", "-o", "json"))
        node = node[0] if isinstance(node, list) else node
        proxy = Proxy(self.binaries, self.folder, name, self.agent)
        self.signet("entry", "create", "--spiffe-id", f"spiffe://example.org/{name}", "--parent-id", node["id"],
                    "--selector", "unix:path:" + proxy.program)
        return proxy

    def keep(self, part):
        self.parts.append(part)
        return part

    def stop(self):
        for part in reversed(self.parts):
            part.stop()
        shutil.rmtree(self.folder)
