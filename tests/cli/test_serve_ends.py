"""Streams of Anthropic's, Ollama's and Responses' clients that the server ends when it is told to end: the last thing is an error, in
the API's form. GALE in the environment is the tool's path."""

import http.client
import json
import os
import tempfile
import unittest

import test_chat as chains
from serving import Server

USER = [{"role": "user", "content": "Hi"}]
ENDLESS = [["[/INST]", "aa"]]


class Ends(unittest.TestCase):
    def last(self, path, body):
        """What stands behind the last newline of a stream during which the server was ended."""
        with tempfile.TemporaryDirectory(prefix="gale-serve-") as folder:
            model = os.path.join(folder, "endless")
            chains.write_model(model, ENDLESS)
            with open(os.path.join(model, "params.json"), "r+") as f:
                params = json.load(f) | {"max_seq_len": 400000}
                f.seek(0)
                json.dump(params, f)
            server = Server(model, "-q", "--drain", "0")
            connection = http.client.HTTPConnection(server.address, timeout=60)
            connection.request("POST", path, json.dumps({"stream": True, "temperature": 0, **body}), {"Content-Type": "application/json"})
            response = connection.getresponse()
            self.assertEqual(response.status, 200)
            response.read(10)
            server.process.terminate()
            text = response.read().decode()
            connection.close()
            server.process.communicate(timeout=60)
            self.assertEqual(server.process.returncode, 0)
            return text.strip().split("\n\n" if "event:" in text else "\n")[-1]

    def test_messages(self):
        name, data = self.last("/v1/messages", {"messages": USER, "max_tokens": 100000}).split("\n")
        self.assertEqual(name, "event: error")
        error = json.loads(data.removeprefix("data: "))
        self.assertEqual((error["type"], error["error"]["type"]), ("error", "overloaded_error"))

    def test_responses(self):
        name, data = self.last("/v1/responses", {"input": "Hi"}).split("\n")
        self.assertEqual(name, "event: response.failed")
        response = json.loads(data.removeprefix("data: "))["response"]
        self.assertEqual((response["status"], response["error"]["code"]), ("failed", "shutting_down"))

    def test_ollama(self):
        self.assertEqual(list(json.loads(self.last("/api/chat", {"messages": USER}))), ["error"])


if __name__ == "__main__":
    unittest.main()
