"""Headless Chromium, driven through its DevTools protocol over a pipe. Python's standard library alone."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 30  # seconds: how long anything may take before a test gives up


def find():
    """The path of a browser, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Failure(Exception):
    """What the browser reports, or a wait that took too long."""


class Browser:
    """One browser with a profile of its own; pages share what they store."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="gale-web-")
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()

        def place():  # the browser reads descriptor 3 and writes 4
            os.dup2(to_browser, 13)
            os.dup2(from_browser, 14)
            os.dup2(13, 3)
            os.dup2(14, 4)

        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--disable-background-networking", "--disable-extensions", "--remote-debugging-pipe",
                 "--force-device-scale-factor=1", "--lang=en", f"--user-data-dir={self.folder}/profile"]
        environment = dict(os.environ, HOME=self.folder, XDG_CONFIG_HOME=self.folder, XDG_CACHE_HOME=self.folder)
        self.process = subprocess.Popen([find(), *flags, "about:blank"], preexec_fn=place, close_fds=False,
                                        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self._rest = b""
        self._last = 0
        self._replies = {}
        self.events = []  # (session, method, params)

    def _read(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self._in], [], [], left)[0]:
            return False
        data = os.read(self._in, 1 << 16)
        if not data:
            raise Failure("the browser has ended")
        *messages, self._rest = (self._rest + data).split(b"\0")
        for text in messages:
            message = json.loads(text)
            if "id" in message:
                self._replies[message["id"]] = message
            else:
                self.events.append((message.get("sessionId"), message["method"], message["params"]))
        return True

    def pump(self, seconds):
        """Takes in events for a while."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass

    def call(self, method, session=None, **params):
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while self._last not in self._replies:
            if not self._read(deadline) and time.monotonic() >= deadline:
                raise Failure(f"{method}: no answer")
        reply = self._replies.pop(self._last)
        if "error" in reply:
            raise Failure(f"{method}: {reply['error']['message']}")
        return reply["result"]

    def page(self, url, width=1280, height=800):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, target, session, url, width, height)

    def close(self):
        try:
            self.call("Browser.close")
        except (Failure, OSError):
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self.folder, ignore_errors=True)


KEYS = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowUp": 38}


class Page:
    def __init__(self, browser, target, session, url, width, height):
        self.browser, self.target, self.session = browser, target, session
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        self.open(url)

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def reload(self):
        self.do("window.gone = true")
        self.call("Page.reload")
        self.wait("!window.gone && document.readyState === 'complete'")

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def media(self, **features):
        """Media features, as prefers-color-scheme with an underscore for each dash."""
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": name.replace("_", "-"), "value": value} for name, value in features.items()])

    def do(self, expression):
        """The value of an expression, after its promise."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True,
                           userGesture=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise Failure(details.get("exception", {}).get("description", details["text"]))
        return result["result"].get("value")

    def wait(self, expression):
        """Until it is true."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                value = self.do(f"!!({expression})")
            except Failure as failure:  # the page is being left
                value, why = None, failure
            else:
                why = value
            if value:
                return
            if time.monotonic() > deadline:
                raise Failure(f"never true: {expression} ({why})")
            self.browser.pump(0.05)

    def click(self, selector):
        """A press of the mouse in the middle of what a selector names."""
        box = self.do(f"""(() => {{
          const e = document.querySelector({json.dumps(selector)});
          e.scrollIntoView({{block: 'center'}});
          const r = e.getBoundingClientRect();
          return [r.x + r.width / 2, r.y + r.height / 2, e.contains(document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2))];
        }})()""")
        if not box[2]:
            raise Failure(f"{selector} is covered by something")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def key(self, name, modifiers=0):
        """modifiers: 1 Alt, 2 Control, 8 Shift."""
        code = KEYS.get(name, ord(name[0].upper()))
        text = {"text": "\r"} if name == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code,
                      modifiers=modifiers, **(text if kind == "keyDown" else {}))

    def type(self, text):
        self.call("Input.insertText", text=text)

    def choose_file(self, selector, path):
        node = self.call("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")["result"]
        self.call("DOM.setFileInputFiles", files=[path], objectId=node["objectId"])

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def complaints(self):
        """Errors that the page threw or that the browser logged, among them what its policy stopped."""
        self.browser.pump(0.1)
        found = []
        for session, method, params in self.browser.events:
            if session != self.session:
                continue
            if method == "Runtime.exceptionThrown":
                found.append(params["exceptionDetails"].get("exception", {}).get("description", "an exception"))
            if method == "Log.entryAdded" and params["entry"]["level"] == "error":
                found.append(params["entry"]["text"])
        return found

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)
