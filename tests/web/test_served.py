"""What gale serve itself gives to the web page: its files, the model's facts and answers. Python 3 alone is needed; with a
Chromium the page is shown too."""

import glob
import http.client
import json
import os
import re
import subprocess
import unittest

import browser

GALE = os.environ["GALE"]
CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
DEMO = next(iter(glob.glob(os.path.join(CACHE, "gale/models/smollm2/*.gguf"))), None)
TINY = "shape:tiny@q8_0"


class Server:
    def __init__(self, model, *options):
        self.process = subprocess.Popen([GALE, "serve", model, "--port", "0", *options], stderr=subprocess.PIPE,
                                        stdout=subprocess.DEVNULL, text=True)
        for line in self.process.stderr:
            found = re.match(r"gale: ready at (http://(\S+))$", line)
            if found:
                break
        else:
            raise AssertionError("it never was ready")
        self.url, self.address = found.groups()

    def request(self, method, path, body=None, headers={}):
        """(status, headers, bytes)"""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        result = response.status, response.headers, response.read()
        connection.close()
        return result

    def stop(self):
        self.process.terminate()
        self.process.stderr.read()
        self.process.stderr.close()
        return self.process.wait(60)


class Files(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(TINY, "--api-key", "sesame")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def test_page(self):
        status, headers, page = self.server.request("GET", "/")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        policy = headers["Content-Security-Policy"]
        self.assertIn("default-src 'self'", policy)
        self.assertNotIn("unsafe", policy)
        self.assertEqual((headers["X-Content-Type-Options"], headers["Referrer-Policy"]), ("nosniff", "no-referrer"))
        for name in re.findall(r'(?:src|href)="(web/[^"]+)"', page.decode()):
            status, headers, data = self.server.request("GET", f"/{name}")
            self.assertEqual(status, 200, name)
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            again = self.server.request("GET", f"/{name}", headers={"If-None-Match": headers["ETag"]})
            self.assertEqual((again[0], again[2]), (304, b""))
        status, headers, data = self.server.request("HEAD", "/")
        self.assertEqual((status, headers["Content-Length"], data), (200, str(len(page)), b""))

    def test_files_are_as_they_were_written(self):
        folder = os.path.join(os.path.dirname(__file__), "../../apps/gale/serve/web")
        for name in ("app.js", "style.css", "vendor/marked.js", "vendor/LICENCES"):
            with open(os.path.join(folder, name), "rb") as file:
                self.assertEqual(self.server.request("GET", f"/web/{name}")[2], file.read(), name)

    def test_nothing_else_is_there(self):
        for path in ("/web/none.js", "/web/../web/app.js", "/web/%61pp.js", "/web//app.js", "/web/vendor"):
            self.assertEqual(self.server.request("GET", path)[0], 404, path)
        self.assertEqual(self.server.request("POST", "/web/app.js", b"{}", {"x-api-key": "sesame"})[0], 405)

    def test_the_page_can_be_left_out(self):
        server = Server(TINY, "--no-web")
        try:
            self.assertEqual([server.request("GET", path)[0] for path in ("/", "/web/app.js", "/openapi.json")], [404, 404, 200])
        finally:
            server.stop()

    def test_facts_are_those_of_gale_info(self):
        self.assertEqual(self.server.request("GET", "/v1/gale/info")[0], 401)
        served = self.server.request("GET", "/v1/gale/info", headers={"x-api-key": "sesame"})[2]
        printed = subprocess.run([GALE, "info", TINY, "--json"], capture_output=True, check=True).stdout
        self.assertEqual(json.loads(served), json.loads(printed))

    def test_what_is_described_is_there(self):
        status, headers, data = self.server.request("GET", "/openapi.json", headers={"x-api-key": "sesame"})
        self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
        for path, operations in json.loads(data)["paths"].items():
            for method in operations:
                body = b"[]" if method == "post" else None
                status = self.server.request(method.upper(), path, body, {"x-api-key": "sesame"})[0]
                self.assertNotIn(status, (405, 501) if "{" in path else (404, 405, 501), path)


@unittest.skipUnless(browser.find(), "no Chromium is installed")
@unittest.skipUnless(DEMO, "the demo model is not there")
class Shown(unittest.TestCase):
    def test_an_answer(self):
        server = Server(DEMO, "--context", "512", "--temp", "0")
        chromium = browser.Browser()
        try:
            page = chromium.page(server.url)
            page.wait("document.getElementById('model').textContent")
            page.do("document.getElementById('prompt').focus()")
            page.type("What is the capital of France?")
            page.wait("/^\\d+ of 512 tokens of context$/.test(document.getElementById('count').textContent)")
            page.key("Enter")
            page.wait("document.querySelector('article.assistant')?.ariaBusy === 'false'")
            self.assertIn("Paris", page.do("document.querySelector('article.assistant .markdown').textContent"))
            figures = page.do("document.querySelector('.figures').textContent")
            self.assertRegex(figures, r"\d tokens/s\d+ tokensprompt \d+.*context \d+ of 512first after [\d.]+ sseed \d+")
            page.do("document.getElementById('show-facts').click()")
            page.wait("document.querySelector('dialog .plot polyline')")
            self.assertEqual(page.complaints(), [])
        finally:
            chromium.close()
            server.stop()


if __name__ == "__main__":
    unittest.main()
