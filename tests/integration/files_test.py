#!/usr/bin/env python3
"""Programs that know no SPIFFE and read certificates from files: the agent keeps the files, and tells the programs. A
real nginx is reloaded by a command, a real PostgreSQL (where there is one) by a signal, both while they are used.

usage: files_test.py --bin DIR
Needs nginx, openssl, python3-grpcio, and python3-protobuf and python3-cryptography for what it shares with
tests/conformance.
"""
import argparse
import glob
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "conformance"))

from processes import Agent, Server  # pylint: disable=wrong-import-position

PATIENCE = 60
ROTATIONS = 2
NGINX = "/usr/sbin/nginx"
NGINX_CONFIG = """
daemon off;
user root;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log info;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{
    listen unix:{folder}/web.sock ssl;
    ssl_certificate {folder}/web.pem;
    ssl_certificate_key {folder}/web.key;
    ssl_client_certificate {folder}/web-bundle.pem;
    ssl_verify_client on;
    ssl_session_cache off;
    location / {{ return 200 "served $ssl_client_verify\\n"; }}
  }}
}}
"""


class Program:
    """Some server process with a log."""

    def __init__(self, folder, name, command, **how):
        self.path = os.path.join(folder, name + ".out")
        self.log = open(self.path, "w", encoding="utf-8")  # pylint: disable=consider-using-with
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, **how)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def text(self):
        return pathlib.Path(self.path).read_text(encoding="utf-8")


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not {what} within {PATIENCE} s")
        time.sleep(0.02)


def postgres_tool(name):
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return found[-1] if found else None


class Files(unittest.TestCase):
    """One server and one agent each; SVIDs of a few seconds, so that they are renewed under the tests' eyes."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="signet-files-")
        os.chmod(self.folder, 0o755)
        self.addCleanup(shutil.rmtree, self.folder)
        self.server = Server(ARGUMENTS.bin, self.folder, {})
        self.addCleanup(self.server.stop)
        self.server.wait_ready()

    def signet(self, *arguments):
        command = [os.path.join(ARGUMENTS.bin, "signet"), "--socket", self.server.admin, *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def at(self, name):
        return os.path.join(self.folder, name)

    def start_agent(self, files):
        join = {"bundle": self.signet("bundle", "show", "--format", "pem"), "token": self.signet("token", "create").strip()}
        agent = Agent(ARGUMENTS.bin, self.folder, self.server, join, {"files": files})
        self.addCleanup(agent.stop)
        agent.wait_ready()
        node = self.node()
        for entry in files:
            self.signet("entry", "create", "--spiffe-id", entry["spiffe_id"], "--parent-id", node, "--selector",
                        "unix:uid:4000000", "--ttl", "8s")
        for entry in files:
            for kind in ("certificate", "key", "combined", "bundle"):
                if kind in entry:
                    until(lambda path=entry[kind]: os.path.exists(path), "written: " + entry[kind])
        return agent

    def node(self):
        return json.loads(self.signet("agent", "list", "-o", "json"))[0]["id"]

    def workload_files(self, *arguments, **how):
        """signet svid files, as a workload of the started agent."""
        command = [os.path.join(ARGUMENTS.bin, "signet"), "svid", "files", "--agent-socket", self.agent.socket,
                   *arguments]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=PATIENCE,
                              check=False, **how)

    def start_bare_agent(self):
        """An agent whose configuration names no files, with an SVID for the processes of this user."""
        self.agent = self.start_agent([])
        self.signet("entry", "create", "--spiffe-id", "spiffe://example.org/web", "--parent-id", self.node(), "--selector",
                    f"unix:uid:{os.geteuid()}", "--ttl", "8s")

    def client_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # the names are SPIFFE IDs
        context.load_verify_locations(self.at("client-bundle.pem"))
        context.load_cert_chain(self.at("client.pem"))  # key and chain in one file: always of one SVID
        return context

    def client_files(self):
        return {"spiffe_id": "spiffe://example.org/client", "combined": self.at("client.pem"),
                "bundle": self.at("client-bundle.pem")}

    def certificates(self, connect):
        """Certificates the server showed until there were enough; every connection must be good."""
        seen, connections = [], 0
        deadline = time.monotonic() + PATIENCE
        while len(seen) <= ROTATIONS:
            self.assertLess(time.monotonic(), deadline, f"only {len(seen)} certificates in {connections} connections")
            certificate = connect()
            connections += 1
            if certificate not in seen:
                seen.append(certificate)
            time.sleep(0.01)
        return seen

    def reload_nginx(self):
        """Before nginx runs there is nothing to reload."""
        return ["/bin/sh", "-c", f"[ ! -e {self.folder}/nginx.pid ] || "
                                 f"exec {NGINX} -c {self.at('nginx.conf')} -s reload"]

    def test_nginx_serves_each_new_certificate_without_a_failed_request(self):
        self.start_agent([
            {"spiffe_id": "spiffe://example.org/web", "certificate": self.at("web.pem"), "key": self.at("web.key"),
             "bundle": self.at("web-bundle.pem"), "on_renewal": {"command": self.reload_nginx()}},
            self.client_files()])
        self.check_nginx()

    def test_a_workload_keeps_nginx_fresh_by_the_command_line_alone(self):
        self.start_bare_agent()
        keeper = Program(self.folder, "keeper", [
            os.path.join(ARGUMENTS.bin, "signet"), "svid", "files", "--watch", "-o", "json", "--agent-socket",
            self.agent.socket, "--certificate", self.at("web.pem"), "--key", self.at("web.key"), "--bundle",
            self.at("web-bundle.pem"), "--combined", self.at("client.pem"), "--", *self.reload_nginx()])
        self.addCleanup(keeper.stop)
        until(lambda: os.path.exists(self.at("web.pem")), "written: web.pem")
        shutil.copy(self.at("web-bundle.pem"), self.at("client-bundle.pem"))
        self.check_nginx()
        # The agent is killed: what is on disk stays, and goes on being renewed when there is an agent again.
        lines = [json.loads(line) for line in keeper.text().splitlines() if line.startswith("{")]
        self.assertGreaterEqual(len({line["serial"] for line in lines}), ROTATIONS, keeper.text())
        self.agent.stop(signal.SIGKILL)
        before = pathlib.Path(self.at("web.pem")).read_bytes()
        self.agent.restart()
        until(lambda: pathlib.Path(self.at("web.pem")).read_bytes() != before, "renewed")
        self.assertIsNone(keeper.process.poll(), keeper.text())

    def test_files_are_written_once_and_what_cannot_be_has_its_exit_code(self):
        places = ["--certificate", self.at("c.pem"), "--key", self.at("k.pem")]
        nobody = subprocess.run([os.path.join(ARGUMENTS.bin, "signet"), "svid", "files", "--agent-socket",
                                 self.at("none.sock"), *places], check=False, stderr=subprocess.PIPE)
        self.assertEqual(nobody.returncode, 3)
        self.start_bare_agent()
        until(lambda: self.workload_files(*places).returncode == 0, "granted")
        self.assertEqual(os.stat(self.at("k.pem")).st_mode & 0o777, 0o600)
        again = self.workload_files(*places, "--mode", "0640", "--bundle", self.at("b.pem"), "-o", "json")
        self.assertEqual(again.returncode, 0, again.stderr)
        told = json.loads(again.stdout)
        self.assertEqual(told["spiffe_id"], "spiffe://example.org/web")
        self.assertIn(self.at("c.pem"), told["written"])  # its mode is another one
        self.assertEqual(os.stat(self.at("b.pem")).st_mode & 0o777, 0o640)
        shown = subprocess.run(["openssl", "verify", "-CAfile", self.at("b.pem"), "-untrusted", self.at("c.pem"),
                                self.at("c.pem")], check=False, stdout=subprocess.PIPE, text=True)
        self.assertEqual(shown.returncode, 0, shown.stdout)
        for wrong, code in ((["--spiffe-id", "spiffe://example.org/other"], 4), (["--key-mode", "0644"], 2),
                            (["--signal", "HUP"], 2), (["--owner", "nobody-of-that-name"], 2),
                            (["--", "/bin/false"], 3), (["--", "no-path"], 2)):
            with self.subTest(wrong):
                self.assertEqual(self.workload_files(*places, *wrong).returncode, code)

    def check_nginx(self):
        config = self.at("nginx.conf")
        pathlib.Path(config).write_text(NGINX_CONFIG.format(folder=self.folder), encoding="utf-8")
        self.assertEqual(os.stat(self.at("web.key")).st_mode & 0o777, 0o600)
        nginx = Program(self.folder, "nginx", [NGINX, "-c", config])
        self.addCleanup(nginx.stop)
        until(lambda: os.path.exists(self.at("nginx.pid")) and os.path.exists(self.at("web.sock")), "listening")

        def connect():
            with socket.socket(socket.AF_UNIX) as plain:
                plain.settimeout(PATIENCE)
                plain.connect(self.at("web.sock"))
                with self.client_context().wrap_socket(plain) as stream:
                    stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    answer = b""
                    while part := stream.recv(4096):
                        answer += part
                    self.assertIn(b"served SUCCESS", answer, nginx.text())
                    return stream.getpeercert(binary_form=True)

        self.certificates(connect)

    @unittest.skipUnless(postgres_tool("initdb") and os.geteuid() == 0, "no PostgreSQL, or not root")
    def test_postgresql_serves_each_new_certificate_after_a_signal(self):
        data = self.at("data-pg")
        os.mkdir(data)
        shutil.chown(data, "postgres", "postgres")
        run_as = {"user": "postgres", "group": "postgres", "cwd": data}
        subprocess.run([postgres_tool("initdb"), "-D", data + "/db", "-A", "trust", "-N"], check=True,
                       stdout=subprocess.DEVNULL, **run_as)
        self.start_agent([
            {"spiffe_id": "spiffe://example.org/db", "certificate": self.at("db.pem"), "key": self.at("db.key"),
             "owner": "postgres", "group": "postgres",
             "on_renewal": {"signal": "HUP", "pid_file": data + "/db/postmaster.pid"}},
            self.client_files()])
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off",
                   "ssl": "on", "ssl_cert_file": self.at("db.pem"), "ssl_key_file": self.at("db.key")}
        postgres = Program(self.folder, "postgres", [postgres_tool("postgres"), "-D", data + "/db"] + [
            word for name, value in options.items() for word in ("-c", f"{name}={value}")], **run_as)
        self.addCleanup(postgres.stop)
        until(lambda: "ready to accept connections" in postgres.text(), "listening")

        def connect():
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as plain:
                plain.sendall(struct.pack("!II", 8, 80877103))  # SSLRequest
                self.assertEqual(plain.recv(1), b"S", postgres.text())
                with self.client_context().wrap_socket(plain) as stream:
                    return stream.getpeercert(binary_form=True)

        self.certificates(connect)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])
