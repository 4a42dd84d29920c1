"""What gale serve itself gives to the web page: its files and the model's facts. Python 3 alone is needed."""

import http.client
import json
import os
import re
import subprocess
import unittest

GALE = os.environ["GALE"]
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

    def test_the_api_is_described(self):
        status, headers, data = self.server.request("GET", "/openapi.json", headers={"x-api-key": "sesame"})
        self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
        self.assertIn("/v1/chat/completions", json.loads(data)["paths"])


if __name__ == "__main__":
    unittest.main()
