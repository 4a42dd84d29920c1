"""The files of the web page: the libraries are those that were pinned, and nothing needs what its policy forbids."""

import json
import re
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
WEB = ROOT / "apps/gale/serve/web"


class Files(unittest.TestCase):
    def test_libraries_are_those_that_were_pinned(self):
        check = subprocess.run([sys.executable, ROOT / "tools/refresh-web-libraries", "--check"], capture_output=True, text=True)
        self.assertEqual((check.returncode, check.stdout), (0, ""))

    def test_no_module_parses_markup_or_makes_code(self):
        forbidden = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|setHTML")
        for file in WEB.glob("*.js"):
            self.assertIsNone(forbidden.search(file.read_text()), file.name)

    def test_the_page_has_no_code_or_style_of_its_own(self):
        page = (WEB / "index.html").read_text()
        self.assertEqual(re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|https?://", page), [])

    def test_what_is_named_is_there(self):
        for file in [*WEB.glob("*.js"), WEB / "index.html"]:
            for name in re.findall(r"(?:from '|(?:href|src)=\")(\.?/?[\w./-]+\.\w+)", file.read_text()):
                self.assertTrue((WEB / name.removeprefix("web/")).is_file(), f"{file.name}: {name}")

    def test_the_description_of_the_api_is_whole(self):
        document = json.loads((WEB / "openapi.json").read_text())
        names = {f"#/components/{kind}/{name}" for kind, parts in document["components"].items() for name in parts}

        def referred(value):
            if isinstance(value, dict):
                yield from [value["$ref"]] if "$ref" in value else []
                value = list(value.values())
            if isinstance(value, list):
                for part in value:
                    yield from referred(part)

        self.assertEqual({r for r in referred(document) if r not in names}, set())
        operations = [operation for path in document["paths"].values() for operation in path.values()]
        self.assertEqual(len({operation["operationId"] for operation in operations}), len(operations))
        for operation in operations:
            self.assertLessEqual({"200", "4XX", "5XX"}, set(operation["responses"]))


if __name__ == "__main__":
    unittest.main()
