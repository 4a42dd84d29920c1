"""gale pull against a hub of our own on the loopback, which does to clients what real ones do."""

import hashlib
import http.server
import json
import os
import resource
import signal
import subprocess
import threading
import unittest

from test_cli import Case, GALE, ROOT, TIMEOUT

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = os.path.join(ROOT, "tests/data/models/gguf-q4_0/model.gguf")
DIRECTORY = os.path.join(ROOT, "tests/data/models/mistral-window-8")


def read(path):
    with open(path, "rb") as f:
        return f.read()


class Hub(http.server.ThreadingHTTPServer):
    """files: {name: content}. `small` ones have git's hash and come from the hub itself, others by a redirect."""

    daemon_threads = True

    def __init__(self, files, store=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.store = files, store
        self.status, self.headers = 200, {}
        self.requests = []  # (method, path, token, range)
        self.cut = None  # bytes after which the connection is dropped
        self.ranges, self.etag, self.gate = True, None, None
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request, client_address):
        """Clients that leave are part of the tests."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, headers=(), body=b""):
        self.send_response(status)
        headers = dict(headers)
        headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self):
        self.handle_request()

    def do_GET(self):
        self.handle_request()

    def handle_request(self):
        hub = self.server
        hub.requests.append((self.command, self.path, self.headers.get("Authorization"), self.headers.get("Range")))
        if hub.status != 200:
            return self.answer(hub.status, hub.headers)
        if self.path.startswith("/api/models/org/name/revision/"):
            siblings = [{"rfilename": name, "size": len(content)} for name, content in hub.files.items()]
            return self.answer(200, {}, json.dumps({"sha": COMMIT, "siblings": siblings}).encode())
        prefix = f"/org/name/resolve/{COMMIT}/"
        if self.path.startswith(prefix) and self.path[len(prefix):] in hub.files:
            return self.resolve(self.path[len(prefix):])
        if self.path.startswith("/blob/"):
            return self.blob(hub.files[self.path[len("/blob/"):]])
        return self.answer(404)

    def resolve(self, name):
        hub, content = self.server, self.server.files[name]
        if hub.store and not name.endswith(".json"):
            etag = hub.etag or hashlib.sha256(content).hexdigest()
            headers = {"X-Repo-Commit": COMMIT, "X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content)),
                       "Location": f"{hub.store.url}/blob/{name}", "ETag": '"of the redirect"'}
            return self.answer(302, headers)
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        etag = hub.etag or git
        if self.command == "HEAD":
            return self.answer(200, {"X-Repo-Commit": COMMIT, "ETag": f'W/"{etag}"', "Content-Length": str(len(content))})
        return self.blob(content, {"ETag": f'"{etag}"'})

    def blob(self, content, headers=None):
        hub = self.server
        begin, status, headers = 0, 200, dict(headers or {})
        asked = self.headers.get("Range")
        if asked and hub.ranges:
            begin, status = int(asked[len("bytes="):-1]), 206
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        body = content[begin:]
        headers["Content-Length"] = str(len(body))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if hub.cut is not None and len(body) > hub.cut:
            self.wfile.write(body[:hub.cut])
            self.wfile.flush()
            if hub.gate:
                hub.gate.wait(TIMEOUT)
            self.close_connection = True
            return
        self.wfile.write(body)


class Pull(Case):
    def setUp(self):
        super().setUp()
        for name in list(self.environment):
            if name.startswith("HF_") or name.lower().endswith("_proxy"):
                del self.environment[name]
        self.content = read(MODEL)
        self.store = Hub({"n-Q4_0.gguf": self.content, "n-Q8_0.gguf": self.content + b"x"})
        self.hub = Hub({"n-Q4_0.gguf": self.content, "n-Q8_0.gguf": self.content + b"x", "README.md": b"# n",
                        "mmproj-n.gguf": b"m"}, self.store)
        for server in (self.hub, self.store):
            self.addCleanup(server.server_close)
            self.addCleanup(server.shutdown)
        self.environment["HF_ENDPOINT"] = self.hub.url
        self.repo = self.path("cache/huggingface/hub/models--org--name")
        self.blob = os.path.join(self.repo, "blobs", hashlib.sha256(self.content).hexdigest())
        self.file = os.path.join(self.repo, "snapshots", COMMIT, "n-Q4_0.gguf")

    def nothing_is_there(self):
        self.assertFalse(os.path.lexists(self.file))
        self.assertFalse(os.path.exists(self.blob))
        self.assertFalse(os.path.exists(os.path.join(self.repo, "refs/main")))

    def all_is_there(self):
        self.assertEqual(read(self.file), self.content)
        self.assertEqual(os.readlink(self.file), "../../blobs/" + os.path.basename(self.blob))
        self.assertEqual(read(os.path.join(self.repo, "refs/main")).decode(), COMMIT)
        self.assertFalse(os.path.exists(self.blob + ".incomplete"))

    def test_layout_and_name(self):
        self.good("pull", "hf:org/name")
        self.all_is_there()
        self.assertEqual(os.listdir(os.path.dirname(self.file)), ["n-Q4_0.gguf"])
        self.assertEqual(json.loads(self.good("info", "hf:org/name", "--json"))["types"], "Q4_0, F32")
        before = len(self.store.requests)
        self.good("pull", "org/name@main")
        self.assertEqual(len(self.store.requests), before)
        self.good("pull", "hf:org/name@refs/pr/7:q8_0")
        self.assertTrue(os.path.exists(os.path.join(os.path.dirname(self.file), "n-Q8_0.gguf")))
        self.assertEqual(read(os.path.join(self.repo, "refs/refs/pr/7")).decode(), COMMIT)
        self.assertIn("/api/models/org/name/revision/refs%2Fpr%2F7?blobs=true", [r[1] for r in self.hub.requests])

    def test_directory_with_git_hashes(self):
        self.hub.files = {n: read(os.path.join(DIRECTORY, n)) for n in ("config.json", "model.safetensors")}
        self.hub.files["model.bin"] = b"not wanted"
        self.hub.store = None
        self.good("pull", "hf:org/name")
        self.assertEqual(sorted(os.listdir(os.path.dirname(self.file))), ["config.json", "model.safetensors"])
        self.assertEqual(json.loads(self.good("info", "hf:org/name", "--json"))["format"], "Hugging Face")

    def test_the_token_stays_with_its_host(self):
        self.environment["HF_TOKEN"] = "secret"
        self.good("pull", "hf:org/name")
        self.assertEqual({r[2] for r in self.hub.requests}, {"Bearer secret"})
        self.assertEqual({r[2] for r in self.store.requests}, {None})
        del self.environment["HF_TOKEN"]
        self.write("cache/huggingface/token", "of a login\n")
        self.good("pull", "hf:org/name")
        self.assertEqual(self.hub.requests[-1][2], "Bearer of")

    def test_answers_that_are_none(self):
        for status, says in ((401, "HF_TOKEN"), (403, "terms"), (404, "no such"), (429, "try again in 7 s"), (500, "500")):
            self.hub.status, self.hub.headers = status, {"Retry-After": "7"} if status == 429 else {}
            self.bad(1, "pull", "hf:org/name", says=says)
        self.hub.status = 200
        self.bad(1, "pull", "hf:org/other", says="no such")
        self.bad(1, "pull", "hf:org/name:q6_k", says="named q6_k")
        self.bad(1, "pull", "hf:../name", says="ORG/NAME")
        self.environment["HF_HUB_OFFLINE"] = "1"
        self.bad(1, "pull", "hf:org/name", says="HF_HUB_OFFLINE")
        del self.environment["HF_HUB_OFFLINE"]
        self.environment["HF_ENDPOINT"] = "http://127.0.0.1:1"
        self.bad(1, "pull", "hf:org/name", says="connect")
        self.nothing_is_there()

    def test_cut_connections_go_on(self):
        self.store.cut = len(self.content) // 3
        self.good("pull", "hf:org/name")
        self.all_is_there()
        asked = [r[3] for r in self.store.requests if r[0] == "GET"]
        self.assertEqual(asked[:2], [None, f"bytes={self.store.cut}-"])

    def test_a_connection_that_brings_nothing_is_an_error(self):
        self.store.cut = 0
        self.bad(1, "pull", "hf:org/name")
        self.nothing_is_there()

    def test_range_ignored(self):
        os.makedirs(os.path.dirname(self.blob))
        self.write(self.blob + ".incomplete", self.content[:100])
        self.store.ranges = False
        self.good("pull", "hf:org/name")
        self.all_is_there()
        self.assertEqual([r[3] for r in self.store.requests if r[0] == "GET"], ["bytes=100-"])

    def test_an_earlier_part_that_is_wrong(self):
        for part in (b"wrong" * 10, self.content + b"more"):
            os.makedirs(os.path.dirname(self.blob), exist_ok=True)
            self.write(self.blob + ".incomplete", part)
            if part[:5] == b"wrong":
                self.bad(1, "pull", "hf:org/name", says="hash")
                self.nothing_is_there()
                self.assertFalse(os.path.exists(self.blob + ".incomplete"))
            self.good("pull", "hf:org/name")
            self.all_is_there()
            os.remove(self.blob)

    def test_wrong_hash(self):
        self.hub.etag = "0" * 64
        self.bad(1, "pull", "hf:org/name", says="does not have the hash")
        self.nothing_is_there()
        self.hub.etag = "../../../x"
        self.bad(1, "pull", "hf:org/name", says="no hash that can be checked")

    def test_changed_content(self):
        self.store.files = {"n-Q4_0.gguf": self.content[:-1] + b"?"}
        self.bad(1, "pull", "hf:org/name", says="does not have the hash")
        self.store.files = {"n-Q4_0.gguf": self.content + b"?"}
        self.bad(1, "pull", "hf:org/name")
        self.nothing_is_there()

    def test_full_disk(self):
        def limited():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

        r = subprocess.run([GALE, "pull", "hf:org/name"], env=self.environment, capture_output=True, timeout=TIMEOUT,
                           preexec_fn=limited)
        self.assertEqual(r.returncode, 1)
        self.assertIn(b".incomplete: File too large", r.stderr)
        self.nothing_is_there()
        self.good("pull", "hf:org/name")
        self.all_is_there()

    def start(self):
        return subprocess.Popen([GALE, "pull", "hf:org/name"], env=self.environment, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def wait_for_part(self, p):
        while p.poll() is None:
            try:
                if os.path.getsize(self.blob + ".incomplete") == self.store.cut:
                    return
            except OSError:
                pass
        self.fail(p.communicate()[1].decode())

    def test_killed_and_interrupted(self):
        for number, status in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
            self.store.cut, self.store.gate = 1000, threading.Event()
            p = self.start()
            self.wait_for_part(p)
            p.send_signal(number)
            p.communicate(timeout=TIMEOUT)
            self.assertEqual(p.returncode, status)
            self.nothing_is_there()
            self.assertEqual(os.path.getsize(self.blob + ".incomplete"), 1000)
            self.store.gate.set()
            self.store.requests.clear()
            self.store.cut = self.store.gate = None
            self.good("pull", "hf:org/name")
            self.assertEqual([r[3] for r in self.store.requests if r[0] == "GET"], ["bytes=1000-"])
            self.all_is_there()
            for path in (self.blob, self.file, os.path.join(self.repo, "refs/main")):
                os.remove(path)

    def test_two_at_once(self):
        self.store.cut, self.store.gate = 1000, threading.Event()
        first = self.start()
        self.wait_for_part(first)
        second = self.start()
        self.store.gate.set()
        self.store.cut = None
        for p in (first, second):
            message = p.communicate(timeout=TIMEOUT)[1]
            self.assertEqual(p.returncode, 0, message)
        self.all_is_there()
        self.assertEqual(len([r for r in self.store.requests if r[0] == "GET"]), 2)


if __name__ == "__main__":
    unittest.main()
