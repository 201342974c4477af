"""Servers and agents, ours and SPIRE's, as processes on empty data directories."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # what is forked here only executes programs

import grpc  # pylint: disable=wrong-import-position

from recorded import Mismatch


_FORKING = threading.Lock()


def spawn(command, **how):
    """Popen, one at a time: gRPC's own thread pool aborts the process when a second fork begins within the first."""
    with _FORKING:
        return subprocess.Popen(command, **how)  # pylint: disable=consider-using-with


class Process:
    """A program with a gRPC socket whose health tells when it is ready; its log in its folder."""

    SERVING = b"\x08\x01"  # HealthCheckResponse{status: SERVING}

    def start(self, command, socket_path):
        self.command, self.socket_path = command, socket_path
        self.log = open(os.path.join(self.folder, os.path.basename(command[0]) + ".log"), "a+", encoding="utf-8")
        self.process = spawn(command, stdout=self.log, stderr=self.log)

    def wait_ready(self):
        name = os.path.basename(self.command[0])
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self.log.seek(0)
                raise Mismatch(f"{name} did not start:\n" + self.log.read())
            try:
                with grpc.insecure_channel("unix:" + self.socket_path) as channel:
                    if channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=1) == self.SERVING:
                        return
            except grpc.RpcError:
                pass
            time.sleep(0.02)
        raise Mismatch(f"{name} was not ready within 30 s")

    def restart(self):
        self.log.close()
        self.start(self.command, self.socket_path)
        self.wait_ready()

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


class Server(Process):
    """A signet-server process on an empty data directory."""

    def __init__(self, binaries, folder, config):
        self.folder = folder
        self.admin = os.path.join(folder, "admin.sock")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        settings = {"trust_domain": "example.org", "data_dir": os.path.join(folder, "data"),
                    "listen": f"127.0.0.1:{self.port}", "admin_socket": self.admin, "log": {"level": "error"},
                    "ratelimit": {"attestation": False, "signing": False}}
        settings.update(config)
        path = os.path.join(folder, "server.yaml")
        pathlib.Path(path).write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
        self.start([os.path.join(binaries, "signet-server"), "run", "--config", path], self.admin)



class SpireServer(Server):
    """A real SPIRE server in the same place: shows that the runner itself is right."""

    def __init__(self, binary, folder, config):  # pylint: disable=super-init-not-called
        self.folder = folder
        self.admin = os.path.join(folder, "admin.sock")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        data = os.path.join(folder, "data")
        os.mkdir(data)
        settings = {"trust_domain": "example.org", "bind_address": "127.0.0.1", "bind_port": self.port,
                    "socket_path": self.admin, "data_dir": data, "log_level": "ERROR", "ca_key_type": "ec-p256",
                    "ratelimit": {"attestation": False, "signing": False}}
        config = dict(config)
        experimental = {"cache_reload_interval": "1s", **config.pop("experimental", {})}
        settings.update(config, experimental=experimental)
        path = os.path.join(folder, "server.json")
        pathlib.Path(path).write_text(json.dumps({"server": settings, "plugins": {
            "DataStore": {"sql": {"plugin_data": {"database_type": "sqlite3", "connection_string": data + "/db"}}},
            "KeyManager": {"memory": {"plugin_data": {}}}, "NodeAttestor": {"join_token": {"plugin_data": {}}}}}))
        self.start([binary, "run", "-config", path], self.admin)


class Agent(Process):
    """A signet-agent that joins `server` by token and has both of its sockets."""

    def __init__(self, binaries, folder, server, join, config):
        self.folder, self.socket = folder, os.path.join(folder, "agent.sock")
        self.admin = os.path.join(folder, "agent-admin", "admin.sock")
        bundle = os.path.join(folder, "bundle.pem")
        pathlib.Path(bundle).write_text(join["bundle"], encoding="ascii")
        settings = {"trust_domain": "example.org", "data_dir": os.path.join(folder, "agent-data"),
                    "server": f"127.0.0.1:{server.port}", "socket": self.socket, "admin_socket": self.admin,
                    "trust_bundle": bundle, "join_token": join["token"], "sync_interval": "1s",
                    "log": {"level": "error"}, **config}
        path = os.path.join(folder, "agent.yaml")
        pathlib.Path(path).write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
        self.start([os.path.join(binaries, "signet-agent"), "run", "--config", path], self.socket)


class SpireAgent(Process):
    """A real SPIRE agent in the same place."""

    def __init__(self, binary, folder, server, join, config):
        self.folder, self.socket = folder, os.path.join(folder, "agent.sock")
        self.admin = os.path.join(folder, "agent-admin", "admin.sock")
        data, bundle = os.path.join(folder, "agent-data"), os.path.join(folder, "bundle.pem")
        os.mkdir(data)
        pathlib.Path(bundle).write_text(join["bundle"], encoding="ascii")
        settings = {"trust_domain": "example.org", "data_dir": data, "server_address": "127.0.0.1",
                    "server_port": server.port, "socket_path": self.socket, "admin_socket_path": self.admin,
                    "trust_bundle_path": bundle, "join_token": join["token"], "log_level": "ERROR", **config,
                    "experimental": {"sync_interval": "1s"}}
        path = os.path.join(folder, "agent.json")
        pathlib.Path(path).write_text(json.dumps({"agent": settings, "plugins": {
            "KeyManager": {"disk": {"plugin_data": {"directory": data}}},
            "NodeAttestor": {"join_token": {"plugin_data": {}}},
            "WorkloadAttestor": {"unix": {"plugin_data": {}}}}}), encoding="utf-8")
        self.start([binary, "run", "-config", path], self.socket)
