"""The examples for operators, with the tools that read them where they are installed (haproxy, promtool, systemd-analyze),
and by their structure."""

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SERVE, CLUSTER = ROOT / "examples/serve", ROOT / "examples/cluster"
PATIENCE = 30

# What gale serve has in /metrics, and what every process of a Prometheus client has.
METRICS = set("""gale_build_info gale_ready gale_requests_running gale_requests_waiting gale_connections gale_requests_total
    gale_requests_finished_total gale_requests_rejected_total gale_prompt_tokens_total gale_generation_tokens_total
    gale_kv_pages gale_kv_page_bytes gale_kv_usage_ratio gale_cache_config_info gale_prefix_cache_disk_bytes
    gale_prefix_cache_evictions_total gale_preemptions_total gale_speculative_tokens_total
    gale_constraint_compile_seconds gale_constraint_mask_seconds gale_time_to_first_token_seconds
    gale_inter_token_seconds gale_request_seconds gale_queue_seconds gale_step_tokens process_resident_memory_bytes
    process_open_fds process_start_time_seconds process_cpu_seconds_total""".split())


def tool(name):
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return shutil.which(name, path=path)


def needs(name):
    return unittest.skipUnless(tool(name), f"{name} is not installed")


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    return done.returncode, done.stdout + done.stderr


class Prometheus(unittest.TestCase):
    @needs("promtool")
    def test_rules(self):
        for arguments in (("check", "rules", "prometheus-rules.yml"), ("test", "rules", "prometheus-rules-test.yml"),
                          ("check", "config", "--syntax-only", "prometheus.yml")):
            code, said = run(tool("promtool"), *arguments, cwd=SERVE)
            self.assertEqual(code, 0, said)

    def test_only_what_the_server_has_is_asked_for(self):
        rules = (SERVE / "prometheus-rules.yml").read_text()
        dashboard = json.loads((SERVE / "grafana-dashboard.json").read_text())
        asked = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]] + re.findall(r"expr: (?:>-)?(.*(?:\n {8,}.*)*)", rules)
        self.assertGreater(len(asked), 30)
        for expression in asked:
            names = re.findall(r"(?<!:)\b((?:gale|process)_\w+)", expression)
            for name in names:
                self.assertIn(re.sub(r"_(bucket|sum|count)$", "", name), METRICS, expression)

    def test_dashboard(self):
        dashboard = json.loads((SERVE / "grafana-dashboard.json").read_text())
        panels = dashboard["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        for a in panels:
            self.assertTrue(a["title"] and a["targets"])
            self.assertLessEqual(a["gridPos"]["x"] + a["gridPos"]["w"], 24)
            for b in panels:
                if a is b:
                    continue
                one, two = a["gridPos"], b["gridPos"]
                apart = (one["x"] + one["w"] <= two["x"] or two["x"] + two["w"] <= one["x"]
                         or one["y"] + one["h"] <= two["y"] or two["y"] + two["h"] <= one["y"])
                self.assertTrue(apart, (a["title"], b["title"]))

    @needs("promtool")
    def test_expressions_of_the_dashboard(self):
        dashboard = json.loads((SERVE / "grafana-dashboard.json").read_text())
        asked = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
        rules = [{"record": f"dashboard:{i}", "expr": e.replace("$__rate_interval", "1m")} for i, e in enumerate(asked)]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)  # JSON is YAML
            file.flush()
            code, said = run(tool("promtool"), "check", "rules", file.name)
        self.assertEqual(code, 0, said)


class Service(unittest.TestCase):
    @needs("systemd-analyze")
    def test_unit(self):
        unit = (SERVE / "gale@.service").read_text()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "gale@smollm2.service"
            path.write_text(unit.replace("/usr/local/bin/gale", "/bin/true"))
            code, said = run(tool("systemd-analyze"), "verify", "--man=no", path)
            self.assertEqual((code, [line for line in said.splitlines() if "gale@" in line]), (0, []))
            code, said = run(tool("systemd-analyze"), "security", "--offline=true", "--threshold=30", path)
            self.assertEqual(code, 0, said)

    def test_what_the_unit_names_is_in_its_file(self):
        unit, environment = (SERVE / "gale@.service").read_text(), (SERVE / "smollm2.env").read_text()
        command = re.search(r"^ExecStart=(.*)$", unit, re.M).group(1)
        names = set(re.findall(r"\$\{?([A-Z_]+)", command)) - {"CREDENTIALS_DIRECTORY", "CACHE_DIRECTORY"}
        self.assertEqual(names, set(re.findall(r"^([A-Z_]+)=", environment, re.M)))


class Replica(ThreadingHTTPServer):
    """What a balancer sees of gale serve."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, name):
        replica = self
        self.name, self.ready, self.full, self.bodies, self.gate = name, True, False, [], threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def answer(self, status, body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                ready = self.path != "/ready" or replica.ready
                self.answer(200 if ready else 503, replica.name.encode())

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if replica.full:
                    self.answer(503, b"queue_full")
                    return
                replica.bodies.append(body)
                if self.path == "/stream":
                    self.send_response(200)
                    self.send_header("Content-Type", "text/event-stream")
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    self.wfile.write(b"9\r\ndata: 1\n\n\r\n")
                    self.wfile.flush()
                    replica.gate.wait(PATIENCE)
                    self.wfile.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")
                    return
                self.answer(200, replica.name.encode())

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    def stop(self):
        self.shutdown()
        self.server_close()


@needs("haproxy")
class Balancer(unittest.TestCase):
    def setUp(self):
        self.replicas = [Replica("a"), Replica("b")]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.front = "127.0.0.1:%d" % free.getsockname()[1]
        a, b = ("127.0.0.1:%d" % r.server_port for r in self.replicas)
        environment = dict(os.environ, FRONT=self.front, GALE_A=a, GALE_B=b)
        self.process = subprocess.Popen([tool("haproxy"), "-db", "-f", CLUSTER / "haproxy.cfg"], env=environment,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.until(lambda: self.request("GET", "/v1/models")[0] == 200)

    def tearDown(self):
        self.process.terminate()
        self.process.wait()
        for replica in self.replicas:
            try:
                replica.stop()
            except OSError:
                pass

    def until(self, true):
        deadline = time.monotonic() + PATIENCE
        while not true():
            self.assertLess(time.monotonic(), deadline, "it never happened")
            time.sleep(0.05)

    def request(self, method, path, body=None):
        """(status, text)"""
        request = urllib.request.Request(f"http://{self.front}{path}", data=body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    @staticmethod
    def body(system, question):
        text = {"model": "m", "messages": [{"role": "system", "content": f"{system} " * 900}, {"role": "user", "content": question}]}
        return json.dumps(text).encode()

    def test_equal_beginnings_meet_the_same_replica(self):
        # Not always: while one is still being counted, the next may be more than the replica's share.
        met, same = set(), 0
        for system in range(40):
            names = [self.request("POST", "/v1/chat/completions", self.body(system, q))[1] for q in ("one", "two", "three")]
            same += names[1:].count(names[0])
            met |= set(names)
        self.assertEqual(met, {"a", "b"})
        self.assertGreater(same, 64)  # of 80; 40 by chance

    def test_a_replica_that_ends_or_drains(self):
        bodies = [self.body(system, "q") for system in range(20)]
        self.replicas[0].ready = False
        self.until(lambda: all(self.request("POST", "/v1/chat/completions", body) == (200, "b") for body in bodies))
        self.replicas[0].ready = True
        self.until(lambda: {self.request("POST", "/v1/chat/completions", body)[1] for body in bodies} == {"a", "b"})
        self.replicas[1].stop()
        answers = [self.request("POST", "/v1/chat/completions", body) for body in bodies]
        self.assertEqual(set(answers), {(200, "a")})

    def test_a_full_queue_goes_to_the_other(self):
        self.replicas[0].full = True
        answers = [self.request("POST", "/v1/chat/completions", self.body(system, "q")) for system in range(20)]
        self.assertEqual(set(answers), {(200, "b")})

    def test_streams_come_bit_by_bit(self):
        request = urllib.request.Request(f"http://{self.front}/stream", data=self.body(1, "q"), method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            self.assertEqual(response.read1(100), b"data: 1\n\n")
            for replica in self.replicas:
                replica.gate.set()
            self.assertEqual(response.read(), b"data: 2\n\n")

    def test_figures_are_not_for_clients(self):
        self.assertEqual(self.request("GET", "/metrics")[0], 404)


class Kubernetes(unittest.TestCase):
    """By their text: the standard library has no YAML, and tools/check-manifests takes the published schemas."""

    def documents(self):
        for file in sorted((CLUSTER / "kubernetes").glob("*.yaml")):
            for text in file.read_text().split("\n---\n"):
                yield file.name, text

    def test_what_they_refer_to(self):
        kinds = {}
        for _, text in self.documents():
            kind = re.search(r"^kind: (\w+)$", text, re.M).group(1)
            kinds.setdefault(kind, []).append(re.search(r"^metadata:\n  name: (\S+)$", text, re.M).group(1))
        pool = next(text for _, text in self.documents() if "\nkind: InferencePool\n" in text)
        self.assertIn(re.search(r"endpointPickerRef:\n    name: (\S+)", pool).group(1), kinds["Service"])
        picker = next(text for _, text in self.documents() if "epp:" in text)
        names = set(re.findall(r"metric=(\S+)", picker))
        self.assertEqual(len(names), 4)
        self.assertLessEqual(names, METRICS)

    def test_a_pod_may_drain(self):
        gale = (CLUSTER / "kubernetes/gale.yaml").read_text()
        grace = int(re.search(r"terminationGracePeriodSeconds: (\d+)", gale).group(1))
        self.assertGreater(grace, int(re.search(r"--drain=(\d+)", gale).group(1)))


if __name__ == "__main__":
    unittest.main()
