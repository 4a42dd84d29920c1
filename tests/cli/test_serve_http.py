"""gale serve over raw sockets: HTTP, limits, timeouts, keys, hosts, origins, signals. Rows are those of the list of
hostile input that the server is held to. GALE in the environment is the tool's path; Python 3 alone is needed."""

import json
import os
import re
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GALE = os.path.abspath(os.environ.get("GALE", os.path.join(ROOT, "build/release/gale")))
# Computes long enough that a client can leave meanwhile, and opens at once.
MODEL = "shape:smollm2-135m:layers=1@q8_0"
TIMEOUT = 60


class Server:
    def __init__(self, *options, model=MODEL, environment=None, ready=True):
        self.process = subprocess.Popen([GALE, "serve", model, "--port", "0", *options], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env={**os.environ, **(environment or {})})
        self.lines = []
        self.address = None
        while ready:
            line = self.process.stderr.readline().decode()
            if not line:
                raise AssertionError("".join(self.lines))
            self.lines.append(line)
            found = re.fullmatch(r"gale: ready at http://(.*):(\d+)\n", line)
            if found:
                self.address = (found[1].strip("[]"), int(found[2]))
                break

    def connect(self, timeout=TIMEOUT):
        return socket.create_connection(self.address, timeout=timeout)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def read_response(s, rest=b"", head=False):
    """(status, headers, body, what came behind it)"""
    while b"\r\n\r\n" not in rest:
        got = s.recv(65536)
        if not got:
            return None, {}, rest, b""
        rest += got
    top, rest = rest.split(b"\r\n\r\n", 1)
    lines = top.decode().split("\r\n")
    status = int(lines[0].split()[1])
    headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
    if status == 100:
        return status, headers, b"", rest
    if head or status in (204, 304):
        return status, headers, b"", rest
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while True:
            while b"\r\n" not in rest:
                rest += s.recv(65536)
            size, rest = rest.split(b"\r\n", 1)
            n = int(size, 16)
            while len(rest) < n + 2:
                rest += s.recv(65536)
            body, rest = body + rest[:n], rest[n + 2:]
            if n == 0:
                return status, headers, body, rest
    n = int(headers.get("content-length", 0))
    while len(rest) < n:
        got = s.recv(65536)
        if not got:
            break
        rest += got
    return status, headers, rest[:n], rest[n:]


def request(path="/health", method="GET", headers=(), body=None, host="localhost"):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers]
    if body is not None:
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


def long_stream(n=30000):
    return request("/v1/completions", "POST", body={"prompt": [5], "max_tokens": n, "stream": True, "ignore_eos": True})


class Http(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--header-timeout", "1", "--body-timeout", "1", "--stall-timeout", "1", "--max-body", "100K",
                            "--cors", "https://chat.example", "--allow-host", "gale.example", "--context", "32768",
                            "--lookup", "off", "--parallel", "2", "--queue", "4")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def ask(self, data, **how):
        with self.server.connect() as s:
            s.sendall(data)
            return read_response(s, **how)

    def refused(self, data, status, closed=True):
        """An error object, after which the connection is closed and the server goes on."""
        with self.server.connect() as s:
            s.sendall(data)
            got, headers, body, rest = read_response(s)
            self.assertEqual(got, status, (data[:200], body))
            self.assertIn("message", json.loads(body)["error"])
            if closed:
                self.assertEqual(headers["connection"], "close")
                self.assertEqual((rest, s.recv(1)), (b"", b""))
        self.assertEqual(self.ask(request())[0], 200)
        return json.loads(body)["error"]

    def metric(self, name):
        body = self.ask(request("/metrics"))[2].decode()
        return float(re.search(rf"^{re.escape(name)} (.*)$", body, re.M)[1])

    def wait_for(self, check, seconds=10):
        end = time.monotonic() + seconds
        while not check():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)

    # ---- Messages ----

    def test_health_and_its_headers(self):
        status, headers, body, _ = self.ask(request())
        self.assertEqual((status, json.loads(body)), (200, {"status": "ok"}))
        self.assertRegex(headers["date"], r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")
        self.assertRegex(headers["x-request-id"], r"^[A-Za-z0-9._-]{1,128}$")
        self.assertNotIn("access-control-allow-origin", headers)
        self.assertEqual(json.loads(self.ask(request("/ready"))[2]), {"status": "ready"})

    def test_request_id(self):
        self.assertEqual(self.ask(request(headers=["X-Request-Id: a.B-9_"]))[1]["x-request-id"], "a.B-9_")
        for bad in ("a b", "x" * 129, "\u00e9"):
            self.assertNotEqual(self.ask(request(headers=[f"X-Request-Id: {bad}"]))[1]["x-request-id"], bad)
        headers = self.ask(request("/v1/messages", "POST", body={}))[1]
        self.assertEqual(headers["request-id"], headers["x-request-id"])

    def test_head_is_get_without_a_body(self):
        with self.server.connect() as s:
            s.sendall(request(method="HEAD") + request())
            status, headers, _, rest = read_response(s, head=True)
            self.assertEqual((status, headers["content-length"]), (200, "15"))
            self.assertEqual(read_response(s, rest)[0], 200)

    def test_pipelined_requests_are_answered_in_order(self):
        with self.server.connect() as s:
            post = request("/v1/completions", "POST", body={"prompt": [5], "max_tokens": 2})
            s.sendall(request("/nope") + post + b"\r\n" + request("/ready") + request())
            rest, found = b"", []
            for _ in range(4):
                status, _, body, rest = read_response(s, rest)
                found.append((status, b"completion" in body))
            self.assertEqual(found, [(404, False), (200, True), (200, False), (200, False)])

    def test_http_1_0(self):
        with self.server.connect() as s:
            s.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            self.assertEqual(read_response(s)[1]["connection"], "close")
            self.assertEqual(s.recv(1), b"")
        with self.server.connect() as s:
            for _ in range(2):
                s.sendall(b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                self.assertEqual(read_response(s)[1]["connection"], "keep-alive")
        body = b'{"prompt":[5],"max_tokens":2,"stream":true}'
        with self.server.connect() as s:
            s.sendall(b"POST /v1/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            got = b""
            while piece := s.recv(65536):
                got += piece
            self.assertNotIn(b"chunked", got.lower())
            self.assertTrue(got.endswith(b"data: [DONE]\n\n"))

    def test_expect(self):
        body = b'{"prompt":[5],"max_tokens":2}'
        with self.server.connect() as s:
            s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                      b"Content-Length: %d\r\n\r\n" % len(body))
            self.assertEqual(read_response(s)[0], 100)
            s.sendall(body)
            self.assertEqual(read_response(s)[0], 200)
        self.refused(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                     b"Content-Length: 200000\r\n\r\n", 413)

    def test_chunked_requests(self):
        head = b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        whole = b'4;a=b\r\n{"pr\r\n9\r\nompt":""}\r\n0\r\nTrailer: x\r\n\r\n'
        with self.server.connect() as s:
            for byte in head + whole:
                s.sendall(bytes([byte]))
            self.assertIn(read_response(s)[0], (200, 400))  # this shape has no tokenizer
            s.sendall(request())
            self.assertEqual(read_response(s)[0], 200)
        for chunk, status in ((b"80000001\r\n", 400), (b"FFFFFFFFFFFFFFFFF\r\n", 400), (b"x\r\n", 400), (b"-1\r\n", 400),
                              (b"1\n", 400), (b"0\r\n\n", 400), (b"0\r\na: b\n\r\n", 400), (b"0\n\r\n", 400), (b"1\r\nab\r\n", 400), (b"19001\r\n", 413)):
            self.refused(head + chunk, status)

    # ---- Rows ----

    def test_row_30_uri_headers_line_feeds_and_slow_clients(self):
        self.refused(request("/" + "a" * 9000), 414)
        self.refused(request(headers=[f"h{i}: x" for i in range(10000)]), 431)
        self.refused(request(headers=["h: " + "x" * 9000]), 431)
        self.refused(request(headers=[f"h{i}: " + "x" * 8000 for i in range(5)]), 431)
        self.assertEqual(self.ask(request(headers=[f"h{i}: x" for i in range(100)]))[0], 200)
        for text in (b"GET /health HTTP/1.1\nHost: localhost\n\n", b"GET /health HTTP/1.1\r\nHost: localhost\n\r\n",
                     b"GET /health HTTP/1.1\r\nHost: localhost\r\n\n", b"\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
                     b"GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n", b"GET /health HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
                     b"GET /health\r\n\r\n", b"GET /health HTTP/2.0\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n",
                     b"GET /health HTTP/1.1\r\nHost: local\x00host\r\n\r\n", b"GET /health HTTP/1.1\r\n\r\n"):
            self.refused(text, 400)
        with self.server.connect() as s:
            s.sendall(b"G")
            self.assertEqual(read_response(s)[0], 408)
        self.refused(b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{", 408)

    def test_row_31_lengths(self):
        head = b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\n"
        for headers in (b"Content-Length: 2\r\nContent-Length: 2\r\n", b"Content-Length: 2\r\nContent-Length: 3\r\n",
                        b"Content-Length: -1\r\n", b"Content-Length: 2, 2\r\n", b"Content-Length: 99999999999999999999\r\n",
                        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
                        b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", b"Transfer-Encoding: gzip\r\n",
                        b"Transfer-Encoding: gzip, chunked\r\n"):
            self.refused(head + headers + b"\r\n{}", 400)
        self.refused(head + b"Content-Length: 200000\r\n\r\n", 413)
        self.refused(head + b"Content-Length: 200000\r\n\r\n" + b"x" * 200000, 413)
        self.assertEqual(self.ask(head + b"\r\n")[0], 411)

    def test_row_32_paths_and_methods(self):
        for path in ("/../etc/passwd", "/web/../index.html", "/%2e%2e/health", "/web/%2e%2e/x", "/v1/nope", "/health/", "//"):
            status, _, body, _ = self.ask(request(path))
            self.assertEqual((status, json.loads(body)["error"]["code"]), (404, "not_found"), path)
        for method, path, allow in (("POST", "/health", "GET, HEAD"), ("DELETE", "/v1/models", "GET, HEAD"),
                                    ("GET", "/v1/completions", "POST"), ("HEAD", "/tokenize", "POST"),
                                    ("OPTIONS", "/health", "GET, HEAD")):
            status, headers, _, _ = self.ask(request(path, method), head=method == "HEAD")
            self.assertEqual((status, headers["allow"]), (405, allow))
        self.assertEqual(self.ask(request("/health?x=%zz"))[0], 200)
        self.assertEqual(self.ask(request("http://localhost/health"))[0], 200)

    def test_errors_of_each_family(self):
        def error(path, method="GET"):
            return json.loads(self.ask(request(path, method))[2])
        self.assertEqual(set(error("/v1/x")["error"]), {"message", "type", "param", "code"})
        self.assertEqual(set(error("/v1/fim/x")), {"object", "message", "type", "param", "code"})
        self.assertEqual(error("/v1/messages/x")["error"]["type"], "not_found_error")
        self.assertEqual(list(error("/api/x")), ["error"])

    def test_row_33_types_of_bodies(self):
        def post(*headers):
            return self.ask(request("/v1/completions", "POST", headers=[*headers, "Content-Length: 2"]) + b"{}")[0]
        self.assertEqual(post("Content-Type: text/plain"), 415)
        self.assertEqual(post("Content-Type: application/jsonx"), 415)
        self.assertEqual(post("Content-Encoding: gzip"), 415)
        for good in ("Content-Type: application/json; charset=utf-8", "Content-Encoding: identity", "X: y"):
            self.assertEqual(post(good), 400)

    def test_row_34_hosts_and_origins(self):
        for host in ("localhost", "LOCALHOST:80", "127.0.0.1:8080", "[::1]:1", "10.1.2.3", "gale.example"):
            self.assertEqual(self.ask(request(host=host))[0], 200, host)
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::1", "localhost:x", "1.2.3"):
            status, _, body, _ = self.ask(request(host=host))
            self.assertEqual((status, json.loads(body)["error"]["code"]), (403, "forbidden"), host)
        self.refused(b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400)
        for origin, status in (("http://localhost", 200), ("https://chat.example", 200), ("null", 403),
                               ("https://evil.example", 403), ("https://chat.example.evil", 403)):
            got, headers, _, _ = self.ask(request(headers=[f"Origin: {origin}"]))
            self.assertEqual(got, status, origin)
            self.assertEqual(headers.get("access-control-allow-origin"), origin if "chat" in origin and got == 200 else None)
        preflight = ["Origin: https://chat.example", "Access-Control-Request-Method: POST",
                     "Access-Control-Request-Headers: content-type"]
        status, headers, _, _ = self.ask(request("/v1/completions", "OPTIONS", preflight))
        self.assertEqual((status, headers["access-control-allow-headers"]), (204, "content-type"))
        self.assertNotIn("content-length", headers)

    def test_row_34_keys(self):
        with tempfile.NamedTemporaryFile("w") as f:
            f.write("first\n\n  second \n".replace("  second", "second"))
            f.flush()
            server = Server("--api-key", "third", "--api-key-file", f.name, environment={"GALE_API_KEY": "fourth"})
        self.addCleanup(server.stop)

        def status(*headers, path="/v1/models"):
            with server.connect() as s:
                s.sendall(request(path, headers=headers))
                return read_response(s)[0]
        for key in ("first", "second", "third", "fourth"):
            self.assertEqual((status(f"Authorization: Bearer {key}"), status(f"x-api-key: {key}")), (200, 200), key)
        for header in ("X: y", "Authorization: Bearer firs", "Authorization: Bearer firstt", "Authorization: Basic first",
                       "Authorization: Bearer ", "x-api-key: Third"):
            self.assertEqual(status(header), 401, header)
        self.assertEqual(status("x-api-key: " + "x" * 1000000), 431)
        self.assertEqual([status(path=p) for p in ("/health", "/ready", "/", "/metrics", "/nope")], [200, 200, 200, 401, 401])

    def test_row_35_clients_that_leave(self):
        def leave(how):
            streams = [self.server.connect() for _ in range(3)]
            for s in streams:
                s.sendall(long_stream())
            self.wait_for(lambda: self.metric("gale_requests_running") + self.metric("gale_requests_waiting") == 3)
            for s in streams:
                how(s)
            began = time.monotonic()
            self.wait_for(lambda: self.metric("gale_requests_running") + self.metric("gale_requests_waiting") == 0)
            self.wait_for(lambda: self.metric('gale_kv_pages{state="active"}') == 0)
            for s in streams:
                s.close()
            return time.monotonic() - began

        def reset(s):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.close()
        before = self.metric('gale_requests_finished_total{reason="cancelled"}')
        leave(lambda s: s.shutdown(socket.SHUT_WR))
        leave(reset)
        leave(lambda s: s.close())
        self.assertEqual(self.metric('gale_requests_finished_total{reason="cancelled"}'), before + 9)

    def test_row_35_a_client_that_leaves_behind_requests_that_wait(self):
        with self.server.connect() as s:
            s.sendall(long_stream() + request() * 4000)
            self.assertTrue(s.recv(1))
        self.wait_for(lambda: self.metric("gale_requests_running") == 0)

    def test_row_35_a_reader_that_stalls(self):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            s.settimeout(TIMEOUT)
            s.connect(self.server.address)
            s.sendall(long_stream())
            self.wait_for(lambda: self.metric("gale_requests_running") == 1)
            self.wait_for(lambda: self.metric("gale_requests_running") == 0, 20)
        self.assertEqual(self.ask(request())[0], 200)

    def test_row_36_more_requests_than_the_queue_takes(self):
        streams = [self.server.connect() for _ in range(12)]
        for s in streams:
            s.sendall(long_stream())
        found = []

        def first_line(s):
            found.append(read_response_head(s))
        threads = [threading.Thread(target=first_line, args=(s,)) for s in streams]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        full = [h for status, h in found if status == 503]
        self.assertGreaterEqual(len(full), 1)
        self.assertTrue(all("retry-after" in h for h in full))
        self.assertTrue(all(status in (200, 503) for status, _ in found))
        for s in streams:
            s.close()
        self.wait_for(lambda: self.metric("gale_requests_running") == 0)

    def test_row_36_few_descriptors(self):
        server = Server()
        self.addCleanup(server.stop)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (48, 48))
        clients = [server.connect() for _ in range(100)]
        time.sleep(0.2)
        for s in clients:
            s.close()

        def answers():
            try:
                with server.connect() as s:
                    s.sendall(request())
                    return read_response(s)[0] == 200
            except OSError:
                return False
        self.wait_for(answers)

    def test_row_36_connections_that_are_idle_give_way(self):
        server = Server("--max-connections", "20")
        self.addCleanup(server.stop)
        idle = [server.connect() for _ in range(100)]
        with server.connect() as s:
            s.sendall(request())
            self.assertEqual(read_response(s)[0], 200)
        for s in idle:
            s.close()

    def test_row_37_json(self):
        for body in ("[" * 100000, '{"a":1,"a":2}', '{"a":1e400}', '{"a":NaN}', "{} x", '{"a":"\\ud800"}', "", "\ufeff{}"):
            error = json.loads(self.ask(request("/v1/completions", "POST", body=body.encode()))[2])["error"]
            self.assertEqual(error["code"], "invalid_json", body[:20])
            self.assertRegex(error["message"], r"byte \d+")

    # ---- Endpoints ----

    def test_models(self):
        models = json.loads(self.ask(request("/v1/models"))[2])["data"]
        self.assertEqual((models[0]["object"], models[0]["owned_by"], models[0]["max_model_len"]), ("model", "gale", 32768))
        name = models[0]["id"].replace("@", "%40")
        self.assertEqual(json.loads(self.ask(request(f"/v1/models/{name}"))[2])["id"], models[0]["id"])
        self.assertEqual(self.ask(request("/v1/models/other"))[0], 404)
        page = json.loads(self.ask(request("/v1/models", headers=["anthropic-version: 2023-06-01"]))[2])
        self.assertEqual((page["has_more"], page["first_id"], page["data"][0]["type"]), (False, models[0]["id"], "model"))

    def test_the_page(self):
        status, headers, body, _ = self.ask(request("/"))
        self.assertEqual((status, headers["content-type"]), (200, "text/html; charset=utf-8"))
        policy = headers["content-security-policy"]
        self.assertIn("default-src 'self'", policy)
        self.assertNotIn("unsafe", policy)
        self.assertEqual((headers["x-content-type-options"], headers["referrer-policy"]), ("nosniff", "no-referrer"))
        for name in re.findall(r'(?:href|src)="/?(web/[^"]*)"', body.decode()):
            self.assertEqual(self.ask(request("/" + name))[0], 200, name)
        self.assertEqual(self.ask(request("/", headers=[f"If-None-Match: {headers['etag']}"]))[0], 304)
        server = Server("--no-web")
        self.addCleanup(server.stop)
        with server.connect() as s:
            s.sendall(request("/"))
            self.assertEqual(read_response(s)[0], 404)

    def test_metrics(self):
        self.ask(request("/nope"))
        status, headers, body, _ = self.ask(request("/metrics"))
        self.assertEqual((status, headers["content-type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        for line in body.decode().splitlines():
            self.assertRegex(line, r'^(# (HELP|TYPE) .*|[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+)$')
        self.assertGreater(self.metric('gale_requests_total{path="other",code="404"}'), 0)
        self.assertGreaterEqual(self.metric("gale_constraint_compile_seconds"), 0)
        self.assertGreaterEqual(self.metric("gale_constraint_mask_seconds"), 0)
        self.assertGreater(self.metric("process_resident_memory_bytes"), 1e6)
        self.assertLess(abs(self.metric("process_start_time_seconds") - time.time()), 3600)


def read_response_head(s):
    got = b""
    while b"\r\n\r\n" not in got:
        piece = s.recv(65536)
        if not piece:
            return None, {}
        got += piece
    lines = got.split(b"\r\n\r\n")[0].decode().split("\r\n")
    return int(lines[0].split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}


class Process(unittest.TestCase):
    def refuse(self, status, says, *arguments):
        r = subprocess.run([GALE, "serve", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT,
                           env={k: v for k, v in os.environ.items() if k != "GALE_API_KEY"})
        self.assertEqual((r.returncode, r.stdout), (status, b""), r.stderr)
        self.assertIn(says, r.stderr.decode())

    def test_usage(self):
        self.refuse(2, "--insecure-no-key", MODEL, "--host", "0.0.0.0")
        self.refuse(2, "--port", MODEL, "--port", "65536")
        self.refuse(2, "--max-body", MODEL, "--max-body", "0")
        self.refuse(2, "--parallel", MODEL, "-np", "0")
        self.refuse(1, "no such", "no such model")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            self.refuse(1, str(s.getsockname()[1]), MODEL, "--port", str(s.getsockname()[1]))

    def test_ready_line_is_said_with_q_too(self):
        server = Server("-q")
        self.addCleanup(server.stop)
        self.assertEqual(len(server.lines), 1)
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(server.process.wait(TIMEOUT), 0)
        self.assertEqual(server.process.stdout.read(), b"")

    def test_a_draft_changes_nothing(self):
        found = []
        for options in (["--lookup", "off"], ["--draft", MODEL]):
            server = Server(*options)
            self.addCleanup(server.stop)
            with server.connect() as s:
                s.sendall(request("/v1/completions", "POST", body={"prompt": [5, 6, 7], "max_tokens": 40, "seed": 3}))
                found.append(json.loads(read_response(s)[2])["choices"])
                s.sendall(request("/metrics"))
                drafted = sum(int(n) for n in re.findall(r'source="draft",result="\w+"\} (\d+)', read_response(s)[2].decode()))
        self.assertEqual(found[0], found[1])
        self.assertGreater(drafted, 0)
        self.refuse(1, "no-such", MODEL, "--port", "0", "--draft", "no-such-model")

    def test_the_log_holds_no_prompt(self):
        server = Server("-v")
        self.addCleanup(server.stop)
        with server.connect() as s:
            s.sendall(request("/v1/completions?secret", "POST", body={"prompt": "secret", "max_tokens": 1}))
            read_response(s)
        server.process.send_signal(signal.SIGTERM)
        _, log = server.process.communicate(timeout=TIMEOUT)
        self.assertIn(b"POST /v1/completions ", log)
        self.assertNotIn(b"secret", log)

    def test_row_49_a_stream_goes_on_while_the_server_ends(self):
        server = Server("--context", "8192")
        self.addCleanup(server.stop)
        idle = server.connect()
        self.addCleanup(idle.close)
        with server.connect() as s:
            s.sendall(long_stream(300))
            got = s.recv(10)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.05)
            idle.sendall(request("/ready"))
            status, _, body, _ = read_response(idle)
            self.assertEqual((status, json.loads(body)), (503, {"status": "draining"}))
            with self.assertRaises(OSError):
                server.connect().close()
            while piece := s.recv(65536):
                got += piece
        self.assertIn(b"data: [DONE]", got)
        self.assertEqual(server.process.wait(TIMEOUT), 0)

    def test_row_49_what_is_left_ends_with_an_error(self):
        server = Server("--context", "8192", "--drain", "0")
        self.addCleanup(server.stop)
        with server.connect() as s:
            s.sendall(long_stream(8000))
            got = s.recv(10)
            server.process.send_signal(signal.SIGINT)
            while piece := s.recv(65536):
                got += piece
        self.assertIn(b"shutting_down", got)
        self.assertNotIn(b"[DONE]", got)
        self.assertEqual(server.process.wait(TIMEOUT), 0)

    def test_row_49_a_second_interrupt(self):
        server = Server("--context", "8192")
        self.addCleanup(server.stop)
        with server.connect() as s:
            s.sendall(long_stream(8000))
            s.recv(10)
            server.process.send_signal(signal.SIGINT)
            time.sleep(0.1)
            server.process.send_signal(signal.SIGINT)
            self.assertEqual(server.process.wait(TIMEOUT), 130)


if __name__ == "__main__":
    unittest.main()
