"""A server that answers as gale serve does, as far as the web page uses it, with what a test wants: the answer is
chosen by the first word of the last message. Run alone it serves the page on a port for looking at it.

Usage: mock_server.py [PORT]
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WEB = Path(__file__).resolve().parent.parent.parent / "apps/gale/serve/web"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".svg": "image/svg+xml", ".json": "application/json"}
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
CONTEXT = 8192

MARKDOWN = """## Sliding windows

Each layer sees the last **4,096** positions, and `layers * window` of them matter:

1. keys and values of older positions are dropped,
2. so the cache *stops growing*.

```c
/* Bytes of the cache of one layer. */
static uint64_t kv_bytes(int32_t window, int64_t length) {
  return (uint64_t)(length < window ? length : window) * 2 * HEADS * DIM;
}
```

| context | full | window |
|--------:|-----:|-------:|
|   8,192 | 1 GiB | 512 MiB |
| 131,072 | 16 GiB | 512 MiB |

- [x] done
- [ ] open

> See [the paper](https://arxiv.org/abs/2310.06825).
"""

HOSTILE = """<script>window.hacked = 'script'</script>
<img src=x onerror="window.hacked = 'onerror'">
<svg onload="window.hacked = 'svg'"><animate onbegin="window.hacked = 'animate'"></svg>
<a href="javascript:window.hacked = 'href'" id="title" name="location">raw link</a>
<iframe srcdoc="<script>parent.hacked = 'frame'</script>"></iframe>
<form action="https://example.invalid/"><input name="x"><button>Send</button></form>
<style>body { display: none }</style>
<math><mtext><table><mglyph><style><img src=x onerror="window.hacked = 'mxss'"></style></mglyph></table></mtext></math>
<p style="position: fixed; inset: 0" class="dialog-head" onclick="window.hacked = 'click'">plain</p>

[markdown link](javascript:window.hacked='markdown') [data](data:text/html,<script>1</script>)
[entities](&#106;avascript:window.hacked='entities') [quote](https://example.invalid/"onmouseover="window.hacked='quote')

![picture](https://example.invalid/leak.png?secret)

```html"onclick="window.hacked='fence'
<script>window.hacked = 'code'</script>
```

```__proto__
constructor
```

the end
"""

CALLS = [{"index": 0, "id": "abc123def", "type": "function", "function": {"name": "weather", "arguments": ""}},
         {"index": 0, "function": {"name": "", "arguments": '{"city":'}},
         {"index": 0, "function": {"name": "", "arguments": ' "Paris"}'}}]


def pieces(text, size=7):
    return [{"content": text[i:i + size]} for i in range(0, len(text), size)]


def kv_rows():
    rows = []
    for kind, size in (("f16", 2), ("f32", 4), ("q8", 1.0625)):
        for power in range(10, 18):
            one = {key: int(min(2 ** power, 4096) * n if "window" in key else 2 ** power * n) * size
                   for key, n in (("gqa_window", 2048), ("gqa", 2048), ("mha_window", 8192), ("mha", 8192))}
            rows.append({"type": kind, "context": 2 ** power, "bytes": {k: int(32 * v) for k, v in one.items()},
                         "layer_bytes": {k: int(v) for k, v in one.items()}})
    return rows


FACTS = {
    "name": "mistral-7b", "family": "llama", "format": "gguf", "types": "Q4_0, F32", "parameters": 7241732096,
    "weight_bytes": 4074389504,
    "hyperparameters": {"dim": 4096, "n_layers": 32, "head_dim": 128, "hidden_dim": 14336, "n_heads": 32, "n_kv_heads": 8,
                        "vocab_size": 32000, "context": 32768, "sliding_window": 4096, "windowed_layers": 32,
                        "norm_eps": 1e-5, "rope_theta": 10000.0, "tied": False},
    "receptive_field": 131072,
    "tokenizer": {"kind": "SentencePiece", "size": 32000, "bos": 1, "eos": 2, "adds_bos": True,
                  "chat_template": "mistral-v3", "unknown_chat_template": None},
    "kv_cache": kv_rows(), "tensors": [],
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def reply(self, status, body, kind="application/json", headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def fail(self, status, message, **more):
        self.reply(status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **more}})

    def refused(self):
        """Whether the server has a key that the request lacks, or loads its model."""
        if self.server.key and self.headers.get("Authorization") != f"Bearer {self.server.key}":
            self.fail(401, "a key is needed", code="invalid_api_key")
            return True
        if self.server.loading:
            self.fail(503, "the model is loading", code="loading")
            return True
        return False

    def do_GET(self):
        path = self.path.split("?")[0]
        file = WEB / ("index.html" if path == "/" else path.removeprefix("/web/"))
        if file.is_file() and WEB in file.resolve().parents:
            self.reply(200, file.read_bytes(), TYPES.get(file.suffix, "text/plain"),
                       [("Content-Security-Policy", POLICY), ("X-Content-Type-Options", "nosniff"),
                        ("Referrer-Policy", "no-referrer")])
        elif self.refused():
            return
        elif path == "/v1/models":
            self.reply(200, {"object": "list", "data": [{"id": "mistral-7b", "object": "model", "max_model_len": CONTEXT}]})
        elif path == "/v1/gale/info":
            self.reply(200, FACTS)
        else:
            self.fail(404, "no such path")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.refused():
            return
        if self.path == "/tokenize":
            count = sum(len(str(m.get("content"))) for m in body["messages"]) // 4 + 5 * len(body["messages"])
            self.reply(200, {"tokens": [0] * count, "count": count, "max_model_len": CONTEXT})
        elif self.path == "/v1/chat/completions":
            self.server.requests.append(body)
            self.chat(body)
        else:
            self.fail(404, "no such path")

    # ---- Answers ----

    def send_chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def event(self, delta=None, finish=None, **more):
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "mistral-7b", "choices": choices,
                 "usage": None, **more}
        self.send_chunk(f"data: {json.dumps(chunk)}\n\n".encode())

    def deltas(self, word, body):
        last = body["messages"][-1]
        if body.get("continue_final_message"):
            return pieces(" and the rest"), "stop"
        if last["role"] == "tool":
            return pieces(f"It is {last['content']} in Paris."), "stop"
        texts = {"markdown": MARKDOWN, "hostile": HOSTILE, "long": "word " * 4000}
        if word in texts:
            return pieces(texts[word], 400 if word == "long" else 7), "stop"
        if word == "think":
            return [{"reasoning_content": "Let me see. "}, {"reasoning_content": "<b>Yes.</b>"}, *pieces("The answer is 4.")], "stop"
        if word == "tools":
            return [{"tool_calls": [call]} for call in CALLS], "tool_calls"
        if word == "short":
            return pieces("Cut off here"), "length"
        if word == "json":
            return pieces('{"name": "Ada"}'), "stop"
        self.server.answers += 1
        return pieces(f"Answer number {self.server.answers}."), "stop"

    def chat(self, body):
        last = body["messages"][-1]
        word = (last["content"] or "").split(" ")[0].lower()
        if word == "refuse":
            self.fail(400, "the prompt is longer than the context", param="messages", code="context_length_exceeded")
            return
        self.send_response(200)
        for name, value in (("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked"),
                            ("x-gale-seed", "12345678901234567890")):
            self.send_header(name, value)
        self.end_headers()
        try:
            self.stream(word, body)
        except (BrokenPipeError, ConnectionResetError):
            self.server.cancelled += 1
            self.close_connection = True

    def stream(self, word, body):
        self.event({"role": "assistant", "content": ""})
        self.send_chunk(b": keep-alive\n\n")
        if word == "slow":
            for i in range(2000):
                self.event({"content": f"tick {i} "})
                time.sleep(0.03)
        deltas, finish = self.deltas(word, body)
        for i, delta in enumerate(deltas):
            self.event(delta)
            if self.server.pause:
                time.sleep(self.server.pause)
            if word == "breaks" and i == 1:
                self.close_connection = True
                self.connection.close()
                return
            if word == "fails" and i == 1:
                self.send_chunk(b'data: {"error": {"message": "not finite", "type": "server_error", "code": "numeric"}}\n\n')
                self.send_chunk(b"")
                return
        self.event({}, finish)
        self.event(usage={"prompt_tokens": 300, "completion_tokens": len(deltas), "total_tokens": 300 + len(deltas),
                          "prompt_tokens_details": {"cached_tokens": 256},
                          "completion_tokens_details": {"reasoning_tokens": 2 if word == "think" else 0}})
        self.send_chunk(b"data: [DONE]\n\n")
        self.send_chunk(b"")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.key = None
        self.loading = False
        self.pause = 0.0
        self.answers = 0
        self.cancelled = 0
        self.requests = []
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request, client_address):
        pass

    def start(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self


if __name__ == "__main__":
    server = Server(int(sys.argv[1]) if len(sys.argv) > 1 else 8081)
    server.pause = 0.02
    print(server.url)
    server.serve_forever()
