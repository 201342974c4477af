#!/usr/bin/env python3
"""The command line as a workload of a real agent: signet x509 watch, signet jwt fetch and validate, and an answer beyond
gRPC's usual limit of 4 MB.

usage: workload_commands_test.py --bin DIR
Needs what tests/conformance needs.
"""
import argparse
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "conformance"))

from processes import Agent, Server  # pylint: disable=wrong-import-position

PATIENCE = 60
WEB = "spiffe://example.org/web"
MANY = 4000


class WorkloadCommands(unittest.TestCase):
    """One server and one agent each."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="signet-commands-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.server = Server(ARGUMENTS.bin, self.folder, {})
        self.addCleanup(self.server.stop)
        self.server.wait_ready()
        join = {"bundle": self.admin("bundle", "show", "--format", "pem"), "token": self.admin("token", "create").strip()}
        self.agent = Agent(ARGUMENTS.bin, self.folder, self.server, join, {})
        self.addCleanup(self.agent.stop)
        self.agent.wait_ready()
        self.node = json.loads(self.admin("agent", "list", "-o", "json"))[0]["id"]
        self.mine = f"unix:uid:{os.geteuid()}"

    def admin(self, *arguments):
        command = [os.path.join(ARGUMENTS.bin, "signet"), "--socket", self.server.admin, *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def command(self, *arguments):
        return [os.path.join(ARGUMENTS.bin, "signet"), *arguments, "--agent-socket", self.agent.socket, "-o", "json"]

    def workload(self, *arguments, check=True):
        return subprocess.run(self.command(*arguments), check=check, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=PATIENCE, text=True)

    def wait_granted(self, count):
        deadline = time.monotonic() + PATIENCE
        while True:
            done = self.workload("x509", "fetch", check=False)
            svids = json.loads(done.stdout) if done.returncode == 0 else []
            if len(svids) == count:
                return svids
            self.assertLess(time.monotonic(), deadline, f"{len(svids)} of {count} SVIDs: {done.stderr}")
            time.sleep(0.1)

    def grant_web(self, *options):
        self.admin("entry", "create", "--spiffe-id", WEB, "--parent-id", self.node, "--selector", self.mine, *options)
        self.wait_granted(1)

    def test_x509_watch_shows_each_renewal_and_writes_it(self):
        self.grant_web("--ttl", "6s")
        folder = os.path.join(self.folder, "written")
        with subprocess.Popen(self.command("x509", "watch", "--write", folder), stdout=subprocess.PIPE, text=True) as watch:
            decoder, text, seen = json.JSONDecoder(), "", []
            while len(seen) < 3:
                line = watch.stdout.readline()
                self.assertTrue(line, "the watch ended")
                text += line
                if line.rstrip() != "]":
                    continue
                update, _ = decoder.raw_decode(text)
                text = ""
                self.assertEqual([svid["spiffe_id"] for svid in update], [WEB])
                seen.append(update[0]["serial"])
            watch.terminate()
        self.assertEqual(len(set(seen)), 3)
        key = os.path.join(folder, "svid.0.key")
        self.assertEqual(os.stat(key).st_mode & 0o777, 0o600)

    def test_a_token_is_fetched_and_validated_and_refused_for_others(self):
        self.grant_web()
        token = json.loads(self.workload("jwt", "fetch", "--audience", "api").stdout)[0]
        self.assertEqual(token["spiffe_id"], WEB)
        valid = json.loads(self.workload("jwt", "validate", "--audience", "api", token["token"]).stdout)
        self.assertEqual(valid["spiffe_id"], WEB)
        self.assertEqual(valid["claims"]["aud"], ["api"])
        self.assertEqual(self.workload("jwt", "validate", "--audience", "other", token["token"], check=False).returncode, 2)
        head, body, signature = token["token"].split(".")
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        claims["sub"] = "spiffe://example.org/admin"
        forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        done = self.workload("jwt", "validate", "--audience", "api", ".".join((head, forged, signature)), check=False)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(self.workload("jwt", "fetch", "--audience", "api", "--spiffe-id", "spiffe://example.org/other",
                                       check=False).returncode, 5)

    def test_an_answer_of_more_than_four_megabytes_arrives_whole(self):
        entries = [{"spiffe_id": f"spiffe://example.org/many/{i}", "parent_id": self.node, "selectors": [self.mine]}
                   for i in range(MANY)]
        path = os.path.join(self.folder, "entries.yaml")
        pathlib.Path(path).write_text(json.dumps({"entries": entries}), encoding="ascii")  # JSON is YAML
        self.admin("entry", "apply", "-f", path)
        svids = self.wait_granted(MANY)
        self.assertEqual(len({svid["spiffe_id"] for svid in svids}), MANY)
        # What is shown leaves the key out, and has the rest in base64: three quarters of it came over the socket.
        shown = sum(len(svid["certificates"]) + len(svid["bundle"]) for svid in svids)
        self.assertGreater(shown * 3 // 4, 4 << 20)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])
