"""gale serve for tests: started on a free port, asked over HTTP, and stopped. GALE in the environment is the tool's path."""

import http.client
import json
import os
import subprocess
import tempfile
import unittest
from urllib.parse import urlsplit

import test_chat as chains

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GALE = os.path.abspath(os.environ.get("GALE", os.path.join(ROOT, "build/release/gale")))
SMOLLM2 = os.path.expanduser("~/.cache/gale/models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")


class Answer:
    """A response: its status, headers and body, as JSON where it is that."""

    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def events(self):
        """The data of server-sent events, without the last [DONE], which must be there unless an error came."""
        lines = [line[6:] for line in self.body.decode().split("\n") if line.startswith("data: ")]
        if lines and lines[-1] == "[DONE]":
            return [json.loads(line) for line in lines[:-1]]
        events = [json.loads(line) for line in lines]
        assert events and "error" in events[-1], self.body
        return events


class Server:
    def __init__(self, model, *options):
        self.process = subprocess.Popen([GALE, "serve", model, "--port", "0", *options], stderr=subprocess.PIPE,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)  # fmt: skip
        line = self.process.stderr.readline()
        while line and not line.startswith("gale: ready at "):
            line = self.process.stderr.readline()
        assert line, "gale serve ended"
        self.address = urlsplit(line.split()[-1]).netloc

    def ask(self, method, path, body=None, headers=()):
        """One request over a connection of its own. A body that is no text is sent as JSON."""
        connection = http.client.HTTPConnection(self.address, timeout=120)
        try:
            if body is not None and not isinstance(body, (str, bytes)):
                body = json.dumps(body)
            if isinstance(body, str):
                body = body.encode()
            connection.request(method, path, body, {"Content-Type": "application/json", **dict(headers)})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def post(self, path, body, **headers):
        return self.ask("POST", path, body, headers.items())

    def stop(self):
        """The exit status."""
        self.process.terminate()
        self.process.communicate(timeout=60)
        return self.process.returncode


class ToldServers(unittest.TestCase):
    """self.servers: of models that say what they are made to say - plain text, thinking, a call."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="gale-serve-")
        cls.servers = {}
        for name, chain in (("plain", chains.PLAIN), ("thinker", chains.THINKER), ("caller", chains.CALLER)):
            folder = os.path.join(cls.folder.name, name)
            chains.write_model(folder, chain)
            cls.servers[name] = Server(folder, "-q")

    @classmethod
    def tearDownClass(cls):
        for server in cls.servers.values():
            assert server.stop() == 0
        cls.folder.cleanup()
