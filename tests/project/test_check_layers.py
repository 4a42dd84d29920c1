"""The layering check catches what it should and lets the rest pass."""
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import check_layers  # noqa: E402

ALLOWED = {
    "src/base/a.c": '#include "base/file.h"\n#include <stdio.h>\n#include "gale.h"',
    "src/format/a.c": '#include "quant/quant.h"',
    "src/backend/cpu/a.c": '#include "quant/quant.h"\n#include "own.h"',
    "src/engine/a.c": '#include "model/model.h"\n#include "tokenizer/tokenizer.h"',
    "apps/gale/a.c": '#include "gale.h"\n#include "own.h"',
    "apps/gale/serve/a.c": '#include "json/value.h"',
    "examples/a.c": "#include <gale.h>",
    "tests/base/a.c": '#include "engine/engine.h"\n#include "shared.h"',
}
REFUSED = {
    "src/base/a.c": '#include "quant/quant.h"',
    "src/quant/a.c": '#include "format/format.h"',
    "src/tokenizer/a.c": '#include "quant/quant.h"',
    "src/backend/cpu/a.c": ' # include <model/model.h>',
    "src/model/a.c": '#include "engine/engine.h"',
    "src/engine/a.c": '#include "../base/file.h"',
    "src/engine/b.c": '#include "stdio.h"',
    "src/engine/c.c": '#include "shared.h"',
    "src/other/a.c": "",
    "src/measure/file.h": "",
    "include/gale.h": '#include "base/file.h"',
    "apps/gale/a.c": '#include "base/file.h"',
    "apps/gale/serve/a.c": '#include "engine/engine.h"',
    "apps/gale/commands/a.c": '#include "json/value.h"',
    "examples/a.c": '#include "base/file.h"',
    "tests/base/a.c": '#include "../../src/base/file.h"',
}
HEADERS = [f"src/{layer}/{layer}.h" for layer in ("quant", "format", "tokenizer", "backend", "model", "engine")]
HEADERS += ["src/base/file.h", "src/json/value.h", "src/backend/cpu/own.h", "apps/gale/own.h", "tests/shared.h", "include/gale.h"]


class CheckLayers(unittest.TestCase):
    def violations(self, path, text):
        with tempfile.TemporaryDirectory() as folder:
            for name, content in [(header, "") for header in HEADERS] + [(path, text)]:
                file = Path(folder, name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(content)
            return check_layers.check(Path(folder))

    def test_allowed(self):
        for path, text in ALLOWED.items():
            self.assertEqual(self.violations(path, text), [], path)

    def test_refused(self):
        for path, text in REFUSED.items():
            found = self.violations(path, text)
            self.assertEqual(len(found), 1, path)
            self.assertTrue(found[0].startswith(f"{path}:1: "), found)


if __name__ == "__main__":
    unittest.main()
