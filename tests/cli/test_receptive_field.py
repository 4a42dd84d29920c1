"""How far a token reaches: window - 1 positions in each layer, and not one further."""

import json
import os
import unittest

import test_cli as cli

MODEL = os.path.join(cli.ROOT, "tests/data/models/gguf-window-8/model.gguf")


class ReceptiveField(cli.Case):
    def rows(self, ids, *options):
        out = self.path("rows.npy")
        self.good("logits", MODEL, "--ids", self.write("ids", " ".join(map(str, ids))), "--out", out, "--kv", "f32", *options)
        with open(out, "rb") as f:
            data = f.read()[128:]
        n = len(data) // len(ids)
        return [data[i : i + n] for i in range(0, len(data), n)]

    def test_a_change_reaches_layers_times_window_less_one(self):
        figures = json.loads(self.good("info", MODEL, "--json"))["hyperparameters"]
        layers, window = figures["n_layers"], 8
        for chunk in ("512", "5"):
            ids = [3 + i * 7 % 50 for i in range(4 * window)]
            other = list(ids)
            other[2] = 60
            changed = [i for i, (a, b) in enumerate(zip(self.rows(ids, "--chunk", chunk), self.rows(other, "--chunk", chunk))) if a != b]
            self.assertEqual(changed, list(range(2, 2 + layers * (window - 1) + 1)))
            unlimited = [i for i, (a, b) in enumerate(zip(self.rows(ids, "--window", "0"), self.rows(other, "--window", "0"))) if a != b]
            self.assertEqual(unlimited, list(range(2, len(ids))))


if __name__ == "__main__":
    unittest.main()
