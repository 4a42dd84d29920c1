"""The web page in headless Chromium, with a server that answers what the tests want. Skipped (exit 77) where no Chromium is
installed."""

import json
import os
import sys
import tempfile
import unittest

import browser
from mock_server import Server

ARTICLES = "[...document.querySelectorAll('article')]"
IDLE = f"!{ARTICLES}.some((a) => a.ariaBusy === 'true') && !document.getElementById('send').classList.contains('stop')"


def text(selector):
    return f"document.querySelector({json.dumps(selector)}).textContent"


class Case(unittest.TestCase):
    """A browser for all cases of a class; a server, and a page without any conversation, for each."""

    @classmethod
    def setUpClass(cls):
        cls.browser = browser.Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()

    def setUp(self):
        self.server = Server().start()
        self.page = self.browser.page(self.server.url)
        self.expected = []  # complaints that a test brings about
        self.connected()

    def tearDown(self):
        unexpected = [c for c in self.page.complaints() if not any(e in c for e in self.expected)]
        self.page.close()
        self.server.shutdown()
        self.server.server_close()
        self.browser.events.clear()
        self.assertEqual(unexpected, [])

    def connected(self):
        self.page.wait(text("#model"))

    def ask(self, words, wait=True):
        self.connected()
        before = len(self.server.requests)
        self.page.do("document.getElementById('prompt').focus()")
        self.page.type(words)
        self.page.key("Enter")
        for _ in range(200):
            if len(self.server.requests) > before:
                break
            self.browser.pump(0.02)
        self.assertEqual(len(self.server.requests), before + 1)
        if wait:
            self.page.wait(IDLE)

    def last(self, selector=""):
        return self.page.do(f"{ARTICLES}.at(-1).querySelector({json.dumps(selector or '.body')}).textContent")

    def action(self, label, article=-1):
        """Presses a button of a message."""
        self.page.do(f"{ARTICLES}.at({article}).querySelector('.foot [aria-label={json.dumps(label)}]').click()")

    def request(self):
        return self.server.requests[-1]


class Conversations(Case):
    def test_markdown_and_figures(self):
        self.ask("markdown")
        self.assertEqual(self.page.do("document.querySelector('.markdown h4').textContent"), "Sliding windows")
        self.assertEqual(self.page.do("document.querySelector('.markdown strong').textContent"), "4,096")
        self.assertEqual(self.page.do("document.querySelector('.token.comment').textContent"),
                         "/* Bytes of the cache of one layer. */")
        self.assertGreater(self.page.do("document.querySelectorAll('.markdown td[align=right]').length"), 5)
        self.assertEqual(self.page.do("document.querySelector('.markdown a').rel"), "noopener noreferrer nofollow")
        figures = self.last(".figures")
        for words in ("tokens/s", "prompt 300, 256 of it cached", "of 8,192", "seed 12345678901234567890"):
            self.assertIn(words, figures)
        self.assertEqual(self.request()["stream_options"], {"include_usage": True})
        self.assertEqual(self.request()["messages"], [{"role": "user", "content": "markdown"}])

    def test_copying(self):
        self.browser.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        self.ask("markdown")
        self.page.call("Page.bringToFront")
        self.page.click(".code-head button")
        self.page.wait(f"{text('#status')} === 'Copied'")
        copied = self.page.do("navigator.clipboard.readText()")
        self.assertTrue(copied.startswith("/* Bytes") and copied.endswith("}"), copied)

    def test_stopping_and_going_on(self):
        self.ask("slow", wait=False)
        self.page.wait(f"{ARTICLES}.at(-1).textContent.includes('tick 5')")
        self.page.key("Escape")
        self.page.wait(IDLE)
        self.assertIn("was stopped", self.last())
        self.page.wait(f"{text('#status')} === 'Stopped'")
        said = self.last(".markdown").strip()
        self.action("Go on with this answer")
        self.page.wait(f"{IDLE} && {ARTICLES}.at(-1).textContent.includes('and the rest')")
        self.assertTrue(self.request()["continue_final_message"])
        self.assertEqual(self.request()["messages"][-1]["role"], "assistant")
        self.assertTrue(self.last(".markdown").startswith(said))
        for _ in range(100):
            if self.server.cancelled:
                break
            self.browser.pump(0.1)
        self.assertEqual(self.server.cancelled, 1)

    def test_an_answer_that_was_cut_can_go_on(self):
        self.ask("short")
        self.assertIn("most tokens", self.last())
        self.action("Go on with this answer")
        self.page.wait(f"{IDLE} && {ARTICLES}.at(-1).textContent.includes('Cut off here and the rest')")

    def test_branches_and_the_store(self):
        self.ask("first")
        self.assertEqual(self.last().strip(), "Answer number 1.")
        self.action("Answer again")
        self.page.wait(f"{IDLE} && {ARTICLES}.at(-1).textContent.includes('number 2')")
        self.assertIn("2 / 2", self.last(".foot"))
        self.action("The branch before")
        self.page.wait(f"{ARTICLES}.at(-1).textContent.includes('number 1')")
        self.action("Edit", 0)
        self.page.do("document.querySelector('.editing textarea').select()")
        self.page.type("second")
        self.page.key("Enter", 2)
        self.page.wait(f"{IDLE} && {ARTICLES}.at(-1).textContent.includes('number 3')")
        self.assertEqual(self.request()["messages"], [{"role": "user", "content": "second"}])
        self.page.reload()
        self.connected()
        self.page.do("document.querySelector('#conversations button').click()")
        self.page.wait(f"{ARTICLES}.length === 2")
        self.assertEqual(self.last().strip(), "Answer number 3.")
        self.action("The branch before", 0)
        self.page.wait(f"{ARTICLES}.at(-1).textContent.includes('number 2')")
        self.action("Edit")
        self.page.do("document.querySelector('.editing textarea').select()")
        self.page.type("my own words")
        self.page.do("document.querySelector('.editing').requestSubmit()")
        self.page.wait(f"{ARTICLES}.at(-1).textContent.includes('my own words')")
        self.assertIn("3 / 3", self.last(".foot"))
        self.assertEqual(len(self.server.requests), 3)
        self.action("Delete from here")
        self.page.do("document.querySelector('dialog .danger').click()")
        self.page.wait(f"{ARTICLES}.at(-1).textContent.includes('2 / 2')")

    def test_removing_and_renaming(self):
        self.ask("first")
        self.page.click("#actions [aria-label=Rename]")
        self.page.do("document.querySelector('dialog input').select()")
        self.page.type("Another title")
        self.page.key("Enter")
        self.page.wait(f"{text('#title')} === 'Another title'")
        self.page.click("#actions [aria-label=Delete]")
        self.page.do("document.querySelector('dialog .danger').click()")
        self.page.wait(f"{text('#title')} === 'New chat'")
        self.page.reload()
        self.connected()
        self.assertEqual(self.page.do("document.querySelectorAll('#conversations button').length"), 0)

    def test_another_conversation_meanwhile(self):
        self.ask("slow", wait=False)
        self.page.wait(f"{ARTICLES}.at(-1).textContent.includes('tick 3')")
        self.page.click("#new-chat")
        self.ask("other", wait=False)
        self.page.wait(f"{IDLE} && {ARTICLES}.length === 2")
        self.assertEqual(self.last().strip(), "Answer number 1.")
        self.page.do("[...document.querySelectorAll('#conversations button')].find((b) => b.title === 'slow').click()")
        self.page.wait(f"{ARTICLES}.at(-1).textContent.includes('tick 30')")
        self.page.click("#send")
        self.page.wait(IDLE)

    def test_two_pages_of_one_browser(self):
        self.connected()
        other = self.browser.page(self.server.url)
        other.wait(text("#model"))
        self.ask("first")
        other.wait("document.querySelector('#conversations button')?.title === 'first'")
        other.do("document.querySelector('#conversations button').click()")
        other.wait(f"{ARTICLES}.length === 2")
        self.ask("again")
        other.wait(f"{ARTICLES}.length === 4 && {ARTICLES}.at(-1).textContent.includes('number 2')")
        other.close()

    def test_thinking_is_folded(self):
        self.ask("think")
        self.assertFalse(self.page.do("document.querySelector('.thinking').open"))
        self.assertEqual(self.page.do(text(".thought")), "Let me see. <b>Yes.</b>")
        self.assertIn("2 of them thinking", self.last(".figures"))
        self.ask("and")
        self.assertEqual(self.request()["messages"][1], {"role": "assistant", "content": "The answer is 4."})

    def test_calls_of_tools(self):
        self.page.click("#actions [aria-label=Settings]")
        self.page.do("document.querySelector('[name=tools]').value = '[{\"name\": \"weather\", \"parameters\": {}}]'")
        self.page.do("document.querySelector('dialog .primary').click()")
        self.ask("tools")
        self.assertEqual(self.request()["tools"], [{"type": "function", "function": {"name": "weather", "parameters": {}}}])
        self.assertIn('"city": "Paris"', self.last(".call pre"))
        self.page.do("document.querySelector('.results textarea').value = '18 degrees'")
        self.page.do("document.querySelector('.results').requestSubmit()")
        self.page.wait(f"{IDLE} && {ARTICLES}.length === 4")
        self.assertEqual(self.last().strip(), "It is 18 degrees in Paris.")
        call, result = self.request()["messages"][1:]
        self.assertEqual(call["tool_calls"], [{"id": "abc123def", "type": "function",
                                               "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}])
        self.assertEqual(result, {"role": "tool", "tool_call_id": "abc123def", "content": "18 degrees"})

    def test_settings(self):
        self.connected()
        self.page.key("s", 1)
        values = {"system": "Be brief.", "temperature": "0.5", "top_k": "40", "max_tokens": "99", "stop": "END\n\nSTOP",
                  "seed": "18446744073709551615", "schema": '{"type": "object"}', "effort": "low"}
        for name, value in values.items():
            self.page.do(f"document.querySelector('dialog [name={name}]').value = {json.dumps(value)}")
        self.page.do("document.querySelector('dialog [name=top_p]').value = '3'")
        self.page.do("document.querySelector('dialog form').noValidate = true")
        self.page.do("document.querySelector('dialog .primary').click()")
        self.page.wait(f"{text('dialog .error')}.includes('Top p')")
        self.page.do("document.querySelector('dialog [name=top_p]').value = ''")
        self.page.do("document.querySelector('dialog .primary').click()")
        self.page.wait("!document.querySelector('dialog')")
        self.ask("json")
        request = self.request()
        self.assertEqual(request["messages"][0], {"role": "system", "content": "Be brief."})
        self.assertEqual(request["seed"], 18446744073709551615)
        self.assertEqual(request["stop"], ["END", "STOP"])
        self.assertEqual(request["reasoning_effort"], "low")
        self.assertEqual(request["response_format"]["json_schema"]["schema"], {"type": "object"})
        self.assertEqual([request[k] for k in ("temperature", "top_k", "max_tokens")], [0.5, 40, 99])
        self.assertNotIn("top_p", request)

    def test_tokens_of_the_prompt_are_counted(self):
        self.connected()
        self.page.do("document.getElementById('prompt').focus()")
        self.page.type("a " * 200)
        self.page.wait(f"{text('#count')} === '105 of 8,192 tokens of context'")

    def test_export_and_import(self):
        self.ask("think")
        self.action("Answer again")
        self.page.wait(f"{IDLE} && {ARTICLES}.at(-1).textContent.includes('2 / 2')")
        with tempfile.TemporaryDirectory() as folder:
            self.browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=folder)
            self.page.click("#actions [aria-label=Export]")
            path = os.path.join(folder, "think.json")
            for _ in range(100):
                if os.path.exists(path):
                    break
                self.browser.pump(0.1)
            with open(path) as file:
                exported = json.load(file)
            self.assertEqual(len(exported["conversations"][0]["messages"]), 3)
            self.page.choose_file("#file", path)
            self.page.wait("document.querySelectorAll('#conversations button').length === 2")
            self.page.wait(f"{ARTICLES}.length === 2 && {ARTICLES}.at(-1).textContent.includes('2 / 2')")
            self.assertEqual(self.page.do(text(".thought")), "Let me see. <b>Yes.</b>")
            self.import_others(folder)

    def import_others(self, folder):
        path = os.path.join(folder, "other.json")

        def take(content):
            with open(path, "w") as file:
                file.write(content)
            self.page.choose_file("#file", path)

        take(json.dumps({"messages": [{"role": "system", "content": "Short."}, {"role": "user", "content": "Hi <b>you</b>"},
                                      {"role": "assistant", "content": "Hello."}]}))
        self.page.wait(f"{text('#title')} === 'Hi <b>you</b>' && {ARTICLES}.length === 2")
        message = {"id": "a", "parent": "a", "role": "user", "content": {"x": 1}, "figures": {"speed": "fast"}, "calls": 3}
        hostile = {"format": "gale.conversations", "version": 1,
                   "conversations": [{"title": 5, "leaf": "a", "settings": {"system": 1}, "messages": [message]}]}
        take(json.dumps(hostile))
        self.page.wait(f"{text('#title')} === 'Imported' && {ARTICLES}.length === 1")
        for bad in ("{", "[]", '{"format": "gale.conversations", "version": 2}', '{"messages": [{"role": "boss"}]}'):
            take(bad)
            self.page.wait("document.querySelector('dialog h2')?.textContent === 'Not imported'")
            self.page.key("Escape")
            self.page.wait("!document.querySelector('dialog')")


class Hostile(Case):
    def test_an_answer_cannot_act(self):
        # The sanitizer parses the answer in a document where nothing runs, and the policy says so.
        self.expected = ["Executing inline event handler", "Applying inline style"]
        self.ask("hostile")
        self.browser.pump(0.3)
        self.assertIsNone(self.page.do("window.hacked ?? null"))
        self.assertEqual(self.page.do("""[...document.querySelectorAll('.markdown *')].flatMap((e) => [
            ...(['SCRIPT', 'IMG', 'IFRAME', 'FORM', 'INPUT', 'STYLE', 'SVG', 'MATH', 'OBJECT'].includes(e.nodeName.toUpperCase()) ? [e.nodeName] : []),
            ...[...e.attributes].map((a) => a.name).filter((n) => n.startsWith('on') || n === 'style' || n === 'id' || n === 'name')])
            .filter((n) => n !== 'svg')"""), [])
        links = self.page.do("[...document.querySelectorAll('.markdown a[href]')].map((a) => a.href)")
        self.assertTrue(all(link.startswith("https://example.invalid/") for link in links), links)
        self.assertEqual(len(links), 2)  # the quote, and the picture that became a link
        self.page.do("document.querySelectorAll('.markdown a, .markdown p').forEach((e) => e.click())")
        self.assertIsNone(self.page.do("window.hacked ?? null"))
        self.assertIn("the end", self.last())
        self.assertEqual(self.page.do(text("#title")), "hostile")

    def test_a_hostile_message_and_title(self):
        self.ask("<img src=x onerror=hacked=1>")
        self.assertEqual(self.page.do("document.querySelectorAll('article.user img, #title img, #conversations img').length"), 0)
        self.assertEqual(self.page.do(text("article.user .said")), "<img src=x onerror=hacked=1>")

    def test_nothing_is_fetched_from_elsewhere(self):
        self.expected = ["Executing inline event handler", "Applying inline style"]
        self.page.call("Network.enable")
        self.page.reload()
        self.ask("hostile")
        self.ask("markdown")
        urls = [params["request"]["url"] for session, method, params in self.browser.events
                if method == "Network.requestWillBeSent" and session == self.page.session]
        self.assertGreater(len(urls), 15)
        self.assertEqual([url for url in urls if not url.startswith(self.server.url)], [])


class Failures(Case):
    def test_failures_are_shown_and_can_be_tried_again(self):
        self.expected = ["400", "ERR_INCOMPLETE_CHUNKED_ENCODING"]
        self.ask("refuse")
        self.assertIn("longer than the context (messages)", self.last())
        self.ask("fails")
        self.assertIn("It failed: not finite", self.last())
        self.ask("breaks")
        self.assertIn("It failed: the connection", self.last())
        self.action("Answer again")
        self.page.wait(f"{IDLE} && {ARTICLES}.at(-1).textContent.includes('2 / 2')")

    def test_a_key(self):
        self.expected = ["401"]
        self.server.key = "sesame"
        self.page.reload()
        for key in ("wrong", "sesame"):
            self.page.wait("document.querySelector('dialog input[type=password]')?.value === ''")
            self.page.type(key)
            self.page.key("Enter")
            self.page.wait("document.querySelector('dialog input')?.value !== %s" % json.dumps(key))
        self.ask("hello")
        self.assertEqual(self.last().strip(), "Answer number 1.")
        self.page.reload()
        self.connected()

    def test_a_model_that_loads(self):
        self.expected = ["503"]
        self.server.loading = True
        self.page.reload()
        self.page.wait("document.getElementById('banner').textContent.includes('being loaded')")
        self.server.loading = False
        self.connected()
        self.page.wait("document.getElementById('banner').hidden")


class Looks(Case):
    def test_facts(self):
        self.connected()
        self.page.click("#show-facts")
        self.page.wait("document.querySelector('dialog .plot')")
        self.assertEqual(self.page.do("document.querySelectorAll('dialog polyline').length"), 4)
        self.assertIn("131,072 positions", self.page.do(text("dialog .facts")))
        row = "[...document.querySelectorAll('dialog tbody tr')].at(-1).textContent"
        self.assertEqual(self.page.do(row), "131,072512 MiB16 GiB2 GiB64 GiB")
        self.page.do("(() => { const s = document.querySelectorAll('dialog select')[1]; s.value = 'layer_bytes';"
                     " s.dispatchEvent(new Event('change')); })()")
        self.assertEqual(self.page.do(row), "131,07216 MiB512 MiB64 MiB2 GiB")
        self.page.key("Escape")
        self.page.wait("!document.querySelector('dialog') && document.activeElement.id === 'show-facts'")

    def test_narrow(self):
        self.page.resize(360, 640)
        self.expected = ["Executing inline event handler", "Applying inline style"]
        self.ask("markdown")
        self.ask("hostile")
        self.assertEqual(self.page.do("document.documentElement.scrollWidth"), 360)
        self.assertLessEqual(self.page.do("document.getElementById('scroller').scrollWidth"), 360)
        self.assertTrue(self.page.do("document.getElementById('sidebar').inert"))
        self.page.click("#open-sidebar")
        self.page.wait("document.activeElement.id === 'new-chat' && document.getElementById('page').inert")
        self.page.key("Escape")
        self.page.wait("document.activeElement.id === 'open-sidebar' && !document.getElementById('page').inert")

    def test_who_scrolls_up_is_left_there(self):
        self.ask("long")
        self.ask("slow", wait=False)
        self.page.wait(f"{ARTICLES}.at(-1).textContent.includes('tick 2')")
        self.page.do("document.getElementById('scroller').scrollTop = 100")
        self.page.wait("!document.getElementById('to-end').hidden")
        self.page.wait(f"{ARTICLES}.at(-1).textContent.includes('tick 40')")
        self.assertEqual(self.page.do("document.getElementById('scroller').scrollTop"), 100)
        self.page.click("#to-end")
        self.page.wait("document.getElementById('to-end').hidden && document.getElementById('scroller').scrollTop > 1000")
        self.page.key("Escape")
        self.page.wait(IDLE)

    CONTRAST = """[...document.querySelectorAll('button, label, p, h1, h2, h3, h4, span, td, th, a[href], dt, dd, textarea')].filter((e) =>
        e.checkVisibility() && !e.disabled && !e.closest('.visually-hidden') && e.innerText?.trim()).map((e) => {
        const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
        const over = [];
        for (let a = e; a; a = a.parentElement) over.unshift(getComputedStyle(a).backgroundColor);
        const light = (colours) => {
          colours.forEach((c) => { canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); });
          const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => (v / 255 <= .04045 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4));
          return .2126 * r + .7152 * g + .0722 * b;
        };
        const [a, b] = [light(['#fff', ...over, getComputedStyle(e).color]), light(['#fff', ...over])];
        return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.outerHTML.slice(0, 90)];
      }).filter(([ratio]) => ratio < 4.5).map((pair) => pair.join(' '))"""

    def test_themes_and_contrast(self):
        self.ask("markdown")
        backs = []
        for scheme in ("light", "dark"):
            self.page.media(prefers_color_scheme=scheme)
            backs.append(self.page.do("getComputedStyle(document.body).backgroundColor"))
            self.assertEqual(self.page.do(self.CONTRAST), [])
            self.page.key("s", 1)
            self.page.wait("document.querySelector('dialog')")
            self.assertEqual(self.page.do(self.CONTRAST), [])
            self.page.key("Escape")
            self.page.wait("!document.querySelector('dialog')")
        self.assertNotEqual(*backs)
        self.page.do("(() => { const s = document.getElementById('theme'); s.value = 'light';"
                     " s.dispatchEvent(new Event('change')); })()")
        self.page.reload()
        self.assertEqual(self.page.do("getComputedStyle(document.body).backgroundColor"), backs[0])

    def test_names_and_order_for_assistive_technology(self):
        self.ask("markdown")
        self.ask("tools")
        self.page.call("Accessibility.enable")
        nodes = [n for n in self.page.call("Accessibility.getFullAXTree")["nodes"] if not n["ignored"]]
        value = lambda node, key: (node.get(key) or {}).get("value", "")
        wanted = {"button", "link", "textbox", "searchbox", "combobox", "region", "navigation", "main", "article", "group", "dialog"}
        unnamed = [value(n, "role") for n in nodes if value(n, "role") in wanted and not value(n, "name")]
        self.assertEqual(unnamed, [])
        roles = [value(n, "role") for n in nodes]
        for role in ("main", "navigation", "banner", "status", "article"):
            self.assertIn(role, roles)
        names = [value(n, "name") for n in nodes if value(n, "role") == "article"]
        self.assertEqual(names, ["You", "Answer", "You", "Answer"])
        self.assertEqual(self.page.do("[...document.querySelectorAll('[id]')].length - new Set([...document.querySelectorAll('[id]')]"
                                      ".map((e) => e.id)).size"), 0)

    def test_keyboard(self):
        self.connected()
        self.page.reload()
        self.page.do("document.activeElement.blur()")
        self.page.do("document.body.prepend(Object.assign(document.createElement('button'), {id: 'before'}))")
        self.page.do("document.getElementById('before').focus()")
        self.page.key("Tab")
        self.assertEqual(self.page.do("document.activeElement.className"), "skip")
        self.page.do("document.activeElement.blur()")
        self.page.key("/")
        self.page.wait("document.activeElement.id === 'prompt'")
        self.ask("first")
        self.page.key("ArrowUp")
        self.page.wait("document.activeElement.closest('.editing')")
        self.page.key("Escape")
        self.page.wait("!document.querySelector('.editing')")
        self.page.key("n", 1)
        self.page.wait(f"{text('#title')} === 'New chat' && document.activeElement.id === 'prompt'")


if __name__ == "__main__":
    if not browser.find():
        print("No Chromium is installed (tools/install-deps web)")
        sys.exit(77)
    unittest.main()
