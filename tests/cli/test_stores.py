"""Names of models in the stores of other tools, made here as those tools lay them out."""

import hashlib
import json
import os
import shutil
import unittest

from test_cli import Case, DEMO, ROOT, needs_demo

MODELS = os.path.join(ROOT, "tests/data/models")


def tiny(kind):
    """A GGUF file whose weights are of that type, by which the tests tell models apart."""
    return os.path.join(MODELS, f"gguf-{kind}", "model.gguf")


def read(path):
    with open(path, "rb") as f:
        return f.read()


class Stores(Case):
    def setUp(self):
        super().setUp()
        for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "OLLAMA_MODELS", "LLAMA_CACHE"):
            self.environment.pop(name, None)

    def link(self, source, *target):
        path = self.path(*target)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        shutil.copy(source, path)
        return path

    def types(self, name):
        return json.loads(self.good("info", name, "--json"))["types"].split(",")[0]

    def listed(self):
        return json.loads(self.good("list", "--json"))


class HuggingFace(Stores):
    def setUp(self):
        super().setUp()
        self.hub = self.path("cache/huggingface/hub")

    def snapshot(self, repo, commit, files, ref="main"):
        """A repository as the hub's tools keep it: files are links to blobs."""
        folder = os.path.join(self.hub, "models--" + repo.replace("/", "--"))
        place = os.path.join(folder, "snapshots", commit)
        os.makedirs(os.path.join(folder, "blobs"), exist_ok=True)
        os.makedirs(place, exist_ok=True)
        for name, source in files.items():
            content = source if isinstance(source, bytes) else read(source)
            blob = os.path.join(folder, "blobs", hashlib.sha256(content).hexdigest())
            with open(blob, "wb") as f:
                f.write(content)
            if not os.path.lexists(os.path.join(place, name)):
                os.symlink(os.path.relpath(blob, place), os.path.join(place, name))
        if ref:
            path = os.path.join(folder, "refs", ref)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as f:
                f.write(commit)
        return place

    def test_of_several_files_the_tag_chooses(self):
        self.snapshot("Org/Tiny-GGUF", "c1", {"tiny-Q4_0.gguf": tiny("q4_0"), "tiny-Q8_0.gguf": tiny("q8_0"),
                                              "tiny-F16.gguf": tiny("f16"), "mmproj-tiny-Q4_0.gguf": b"", "config.json": b"{}"})
        self.assertEqual(self.types("hf:Org/Tiny-GGUF"), "Q4_0")
        self.assertEqual(self.types("hf:Org/Tiny-GGUF:q8_0"), "Q8_0")
        self.assertEqual(self.types("hf:Org/Tiny-GGUF@main:f16"), "F16")
        self.assertEqual(self.types("hf:org/tiny-gguf"), "Q4_0")
        self.bad(1, "info", "hf:Org/Tiny-GGUF:Q6_K", says="gale pull hf:Org/Tiny-GGUF:Q6_K")
        names = [m["name"] for m in self.listed()]
        self.assertEqual(names, ["hf:Org/Tiny-GGUF:F16", "hf:Org/Tiny-GGUF:Q4_0", "hf:Org/Tiny-GGUF:Q8_0"])
        for name in names:
            self.assertEqual(self.types(name), name.split(":")[-1])

    def test_without_a_liked_type_the_smallest(self):
        self.snapshot("o/n", "c1", {"n-F32.gguf": tiny("f32"), "n-F16.gguf": tiny("f16")})
        self.assertEqual(self.types("hf:o/n"), "F16")

    def test_revisions(self):
        self.snapshot("o/n", "aaa", {"n.gguf": tiny("q4_0")})
        self.snapshot("o/n", "bbb", {"n.gguf": tiny("q8_0")}, ref="refs/pr/1")
        self.assertEqual(self.types("hf:o/n"), "Q4_0")
        self.assertEqual(self.types("hf:o/n@refs/pr/1"), "Q8_0")
        self.assertEqual(self.types("hf:o/n@bbb"), "Q8_0")
        self.bad(1, "info", "hf:o/n@ccc", says="of revision ccc")

    def test_without_refs_the_newest(self):
        old = self.snapshot("o/n", "zzz", {"n.gguf": tiny("q4_0")}, ref=None)
        self.assertEqual(self.types("hf:o/n"), "Q4_0")
        new = self.snapshot("o/n", "aaa", {"n.gguf": tiny("q8_0")}, ref=None)
        os.utime(old, (1000, 1000))
        os.utime(new, (2000, 2000))
        self.assertEqual(self.types("hf:o/n"), "Q8_0")

    def test_directories(self):
        hf, native = os.path.join(MODELS, "mistral-window-8"), os.path.join(MODELS, "native-layer-windows")
        files = {name: os.path.join(hf, name) for name in ("config.json", "model.safetensors")}
        self.snapshot("o/both", "c", {**files, "params.json": os.path.join(native, "params.json"),
                                      "consolidated.safetensors": os.path.join(native, "consolidated.safetensors")})
        self.assertEqual(json.loads(self.good("info", "hf:o/both", "--json"))["format"], "Hugging Face")
        self.assertEqual(json.loads(self.good("info", "hf:o/both:native", "--json"))["format"], "Mistral")
        self.assertEqual([m["name"] for m in self.listed()], ["hf:o/both", "hf:o/both:native"])
        self.snapshot("o/native", "c", {n: os.path.join(native, n) for n in ("params.json", "consolidated.safetensors")})
        self.assertEqual(json.loads(self.good("info", "o/native", "--json"))["format"], "Mistral")

    def test_what_is_not_complete(self):
        place = self.snapshot("o/n", "c", {"n-00001-of-00002.gguf": tiny("q4_0")})
        message = self.bad(1, "info", "hf:o/n", says="n-00002-of-00002.gguf: the model is not complete")
        self.assertIn("gale pull hf:o/n", message)
        self.assertFalse(self.listed()[0]["complete"])
        os.symlink("../../blobs/absent", os.path.join(place, "n-00002-of-00002.gguf"))
        self.bad(1, "info", "hf:o/n", says="not complete")
        self.snapshot("o/s", "c", {"config.json": b"{}", "model.safetensors.index.json":
                                   json.dumps({"weight_map": {"a": "model-00001-of-00001.safetensors"}}).encode()})
        self.bad(1, "info", "hf:o/s", says="model-00001-of-00001.safetensors: the model is not complete")
        self.snapshot("o/c", "c", {"config.json": b"{}"})
        self.bad(1, "info", "hf:o/c", says="not complete")
        os.makedirs(os.path.join(self.hub, "models--o--none", ".no_exist"))
        self.bad(1, "info", "hf:o/none", says="nothing there")

    def test_where_the_cache_is(self):
        self.snapshot("o/n", "c", {"n.gguf": tiny("q4_0")})
        self.environment["HF_HOME"] = self.path("elsewhere")
        self.bad(1, "info", "hf:o/n", says=self.path("elsewhere", "hub"))
        self.environment["PLACE"] = self.path("cache")
        self.environment["HF_HOME"] = "$PLACE/huggingface"
        self.assertEqual(self.types("hf:o/n"), "Q4_0")
        self.environment["HF_HUB_CACHE"] = "~/${NAMED}/huggingface/hub"
        self.environment["NAMED"] = "cache"
        self.assertEqual(self.types("hf:o/n"), "Q4_0")

    def test_names_that_lead_elsewhere(self):
        self.write("cache/huggingface/secret/x.gguf", read(tiny("q4_0")))
        for name in ("hf:../secret", "hf:o/../secret", "hf:o/./n", "hf:o//n", "hf:", "hf:o/n/m", "hf:o/n@../..", "hf:o n"):
            self.assertEqual(self.gale("info", name).returncode, 1, name)

    def test_proposed_sampling(self):
        hf = os.path.join(MODELS, "mistral-window-8")
        files = {name: os.path.join(hf, name) for name in ("config.json", "model.safetensors")}
        config = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "eos_token_id": 2}
        self.snapshot("o/n", "c", {**files, "generation_config.json": json.dumps(config).encode()})
        self.assertIn("temperature 0.6, top_p 0.9 (generation_config.json)", self.good("info", "hf:o/n").decode())


class Ollama(Stores):
    def setUp(self):
        super().setUp()
        self.store = self.path(".ollama/models")

    def blob(self, content):
        digest = hashlib.sha256(content).hexdigest()
        self.write(os.path.join(".ollama/models/blobs", "sha256-" + digest), content)
        return digest, len(content)

    def manifest(self, place, model, layers=(), config=None):
        """layers: (kind, content)"""
        listed = []
        for kind, content in ([("model", read(model))] if model else []) + list(layers):
            digest, size = self.blob(content)
            listed.append({"mediaType": "application/vnd.ollama.image." + kind, "digest": "sha256:" + digest, "size": size})
        digest, size = self.blob(json.dumps(config or {"model_format": "gguf"}).encode())
        manifest = {"schemaVersion": 2, "config": {"digest": "sha256:" + digest, "size": size}, "layers": listed}
        return self.write(os.path.join(".ollama/models/manifests", place), json.dumps(manifest))

    def test_names(self):
        self.manifest("registry.example/library/tiny/latest", tiny("q4_0"))
        self.manifest("registry.example/library/tiny/8b", tiny("q8_0"))
        self.manifest("registry.example/Some/Tiny/latest", tiny("f16"))
        self.manifest("other.host/org/tiny/latest", tiny("q5_0"))
        self.manifest("other.host/library/far/latest", tiny("q5_1"))
        for name, type_ in (("ollama:tiny", "Q4_0"), ("tiny", "Q4_0"), ("ollama:TINY:8B", "Q8_0"), ("tiny:8b", "Q8_0"),
                            ("ollama:some/tiny", "F16"), ("ollama:other.host/org/tiny", "Q5_0"), ("ollama:far", "Q5_1")):
            self.assertEqual(self.types(name), type_, name)
        r = self.gale("info", "tiny")
        self.assertIn(b"in the store of ollama", r.stderr)
        self.assertEqual([m["name"] for m in self.listed()],
                         ["ollama:other.host/library/far", "ollama:other.host/org/tiny", "ollama:Some/Tiny",
                          "ollama:tiny:8b", "ollama:tiny"])
        self.bad(1, "info", "ollama:tiny:7b", says="no model")
        self.environment["OLLAMA_MODELS"] = self.path("elsewhere")
        self.bad(1, "info", "ollama:tiny", says=self.path("elsewhere"))

    def test_what_cannot_be_used(self):
        self.manifest("registry.x/library/adapted/latest", tiny("q4_0"), [("adapter", b"x")])
        self.bad(1, "info", "ollama:adapted", says="not supported: adapter")
        self.manifest("registry.x/library/tensors/latest", None, [("tensor", b"x")])
        self.bad(1, "info", "ollama:tensors", says="not supported: tensor")
        self.manifest("registry.x/library/cloud/latest", tiny("q4_0"), config={"remote_host": "https://far.example"})
        self.bad(1, "info", "ollama:cloud", says="another machine")
        self.write(".ollama/models/manifests/registry.x/library/broken/latest", "{")
        self.bad(1, "info", "ollama:broken", says="not a manifest")
        self.manifest("registry.x/library/cut/latest", tiny("q8_0"))
        content = read(tiny("q8_0"))
        blob = os.path.join(self.store, "blobs", "sha256-" + hashlib.sha256(content).hexdigest())
        with open(blob, "r+b") as f:
            f.truncate(100)
        self.bad(1, "info", "ollama:cut", says="ollama pull cut")
        os.remove(blob)
        self.bad(1, "info", "ollama:cut", says="is missing")
        path = self.manifest("registry.x/library/evil/latest", tiny("q4_0"))
        text = read(path).decode()
        with open(path, "w") as f:
            f.write(text.replace("sha256:", "sha256:../../../"))
        self.bad(1, "info", "ollama:evil", says="digest")

    @needs_demo
    def test_defaults(self):
        params = {"temperature": 0, "num_predict": 3, "stop": ["zzz"], "top_k": 10**12, "seed": 5}
        self.manifest("registry.x/library/smol/latest", DEMO,
                      [("params", json.dumps(params).encode()), ("system", b"You are a pirate."), ("template", b"{{ x }}")])
        quiet = ("--no-cache", "-q")
        wanted = self.good("run", DEMO, "Hello", "-n", "3", "--temp", "0", "--system", "You are a pirate.", *quiet)
        self.assertEqual(self.good("run", "smol", "Hello", *quiet), wanted)
        longer = self.good("run", "smol", "Hello", "-n", "6", *quiet)
        self.assertTrue(longer.startswith(wanted.rstrip(b"\n")) and len(longer) > len(wanted))
        self.assertIn(b"top_k of Ollama's params is 1e+12", self.gale("run", "smol", "Hello", "--no-cache").stderr)
        self.good("run", "smol", "Hello", "--raw", *quiet)


class Others(Stores):
    def test_lmstudio(self):
        self.link(tiny("q4_0"), ".lmstudio/models/pub/Tiny-GGUF/tiny-Q4_0.gguf")
        self.link(tiny("q8_0"), ".lmstudio/models/pub/Tiny-GGUF/tiny-Q8_0.gguf")
        self.assertEqual(self.types("lmstudio:pub/tiny-gguf"), "Q4_0")
        self.assertEqual(self.types("lmstudio:pub/Tiny-GGUF/tiny-Q8_0.gguf"), "Q8_0")
        self.assertEqual(self.types("pub/Tiny-GGUF:q8_0"), "Q8_0")
        self.bad(1, "info", "lmstudio:pub/Tiny-GGUF/../x", says="no model")
        self.link(tiny("f16"), "moved/pub/other/other.gguf")
        self.write(".lmstudio/settings.json", json.dumps({"downloadsFolder": self.path("moved")}))
        self.assertEqual(self.types("lmstudio:pub/other"), "F16")
        self.link(tiny("q5_0"), "pointed/models/pub/third/third.gguf")
        self.write(".lmstudio-home-pointer", self.path("pointed"))
        self.assertEqual(self.types("lmstudio:pub/third"), "Q5_0")
        self.assertEqual([m["name"] for m in self.listed()], ["lmstudio:pub/third"])

    def test_llamacpp(self):
        folder = "cache/llama.cpp/"
        self.link(tiny("q4_0"), folder + "org_name-GGUF_name-Q4_0.gguf")
        self.link(tiny("q8_0"), folder + "org_name-GGUF_name-Q8_0.gguf")
        self.write(folder + "manifest=org=name-GGUF=latest.json", json.dumps({"ggufFile": {"rfilename": "name-Q8_0.gguf"}}))
        self.assertEqual(self.types("llama.cpp:org/name-GGUF"), "Q8_0")
        self.assertEqual(self.types("llama.cpp:org/name-GGUF:q4_0"), "Q4_0")
        self.assertEqual(self.types("org/name-GGUF:Q4_0"), "Q4_0")
        self.assertEqual([m["name"] for m in self.listed()], ["llama.cpp:org/name-GGUF"])
        self.bad(1, "info", "llama.cpp:org/nothing", says="no model")

    def test_one_name_in_two_stores(self):
        self.link(tiny("q4_0"), ".lmstudio/models/o/n/n.gguf")
        self.link(tiny("q8_0"), "cache/llama.cpp/o_n_n.gguf")
        self.assertEqual(self.types("o/n"), "Q4_0")
        self.assertEqual(self.types("llama.cpp:o/n"), "Q8_0")
        self.link(tiny("f16"), "o/n")
        path = self.path("o/n")
        self.assertEqual(self.types(path), "F16")

    def test_a_file_counts_once(self):
        place = self.link(tiny("q4_0"), ".lmstudio/models/o/n/n.gguf")
        os.makedirs(self.path("cache/gale/models/mine"))
        os.link(place, self.path("cache/gale/models/mine/n.gguf"))
        self.assertEqual([m["name"] for m in self.listed()], ["mine"])

    def test_near_names(self):
        self.link(tiny("q4_0"), ".lmstudio/models/org/tiny-model/n.gguf")
        message = self.bad(1, "info", "org/tiny-modle", says="did you mean 'org/tiny-model'")
        self.assertIn(self.path(".lmstudio/models"), message)

    def test_rm(self):
        self.link(tiny("q4_0"), "cache/gale/models/mine/n.gguf")
        other = self.link(tiny("q4_0"), ".lmstudio/models/o/n/n.gguf")
        self.bad(1, "rm", "o/n", says="left to the tools")
        self.bad(1, "rm", "..", says="left to the tools")
        self.bad(1, "rm", "absent", says="No such file")
        self.good("rm", "mine")
        self.assertFalse(os.path.exists(self.path("cache/gale/models/mine")))
        self.assertTrue(os.path.exists(other))


if __name__ == "__main__":
    unittest.main()
