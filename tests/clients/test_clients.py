"""Clients of the APIs that gale serve speaks, against SmolLM2. `make test-clients` makes the environment that has them, and runs
this there; a client that is not installed is skipped. GALE in the environment is the tool's path."""

import importlib
import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "cli"))
from serving import SMOLLM2, Server  # noqa: E402

HELLO = [{"role": "user", "content": "Say hello."}]
WEATHER = [{"role": "user", "content": "What is the weather in Paris?"}]
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "The weather in a city.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}}}  # fmt: skip
SERVER = None


def setUpModule():
    global SERVER
    if not os.path.exists(SMOLLM2):
        raise unittest.SkipTest("the demo model is not there")
    SERVER = Server(SMOLLM2, "-q", "-c", "4096")


def tearDownModule():
    if SERVER:
        SERVER.stop()


def model():
    return os.path.basename(SMOLLM2)[: -len(".gguf")]


def url(path=""):
    return f"http://{SERVER.address}{path}"


class Client(unittest.TestCase):
    package = None

    def setUp(self):
        try:
            self.module = importlib.import_module(self.package)
        except ImportError:
            self.skipTest(f"{self.package} is not installed")


class OpenAI(Client):
    package = "openai"

    def setUp(self):
        super().setUp()
        self.client = self.module.OpenAI(base_url=url("/v1"), api_key="none", max_retries=0)

    def chat(self, **options):
        return self.client.chat.completions.create(
            **{"model": "", "messages": HELLO, "temperature": 0, "max_tokens": 12, **options})  # fmt: skip

    def test_chat_and_its_stream(self):
        whole = self.chat(logprobs=True, top_logprobs=3)
        text = whole.choices[0].message.content
        chunks = list(self.chat(stream=True, stream_options={"include_usage": True}))
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), text)
        self.assertEqual(chunks[-1].usage, whole.usage.model_copy(update={"prompt_tokens_details": chunks[-1].usage.prompt_tokens_details}))
        tokens = whole.choices[0].logprobs.content
        self.assertEqual(b"".join(bytes(t.bytes) for t in tokens).decode(), text)
        self.assertEqual([t.logprob for t in tokens], [t.top_logprobs[0].logprob for t in tokens])

    def test_the_streaming_helper(self):
        with self.client.chat.completions.stream(model=model(), messages=HELLO, stop="!", temperature=0) as stream:
            for _ in stream:
                pass
            final = stream.get_final_completion()
        self.assertEqual(final.choices[0].message.content, self.chat(stop="!", max_tokens=None).choices[0].message.content)

    def test_tools(self):
        options = {"messages": WEATHER, "tools": [TOOL], "tool_choice": "required", "max_tokens": 120, "seed": 1,
                   "parallel_tool_calls": False}  # fmt: skip
        message = self.chat(**options).choices[0].message
        call = message.tool_calls[0]
        self.assertIn("city", json.loads(call.function.arguments))
        arguments = ""
        for chunk in self.chat(stream=True, **options):
            for piece in chunk.choices[0].delta.tool_calls or []:
                arguments += piece.function.arguments
        self.assertEqual(arguments, call.function.arguments)
        talk = [*WEATHER, message, {"role": "tool", "tool_call_id": call.id, "content": "Sunny."}]
        self.assertTrue(self.chat(messages=talk, tools=[TOOL]).choices[0].message.content)

    def test_parsing(self):
        pydantic = importlib.import_module("pydantic")
        Person = pydantic.create_model("Person", name=(str, pydantic.Field(max_length=20)), age=(int, ...))
        parsed = self.client.chat.completions.parse(model=model(), messages=[{"role": "user", "content": "A person."}],
                                                    response_format=Person, max_tokens=200, seed=2)  # fmt: skip
        self.assertIsInstance(parsed.choices[0].message.parsed, Person)

    def test_completions_and_embeddings(self):
        r = self.client.completions.create(model="", prompt=["The capital of France is", "1 2 3"], max_tokens=3, temperature=0, logprobs=1, echo=True)
        self.assertEqual(len(r.choices), 2)
        self.assertIn("Paris", r.choices[0].text)
        r = self.client.embeddings.create(model="", input=["a", "b"])
        self.assertEqual(len(r.data[0].embedding), len(r.data[1].embedding))

    def test_errors(self):
        with self.assertRaises(self.module.BadRequestError) as e:
            self.chat(temperature=-1)
        self.assertEqual(e.exception.param, "temperature")
        with self.assertRaises(self.module.NotFoundError):
            self.chat(model="no-such")

    def test_models(self):
        self.assertTrue(list(self.client.models.list()))

    def respond(self, **options):
        return self.client.responses.create(**{"model": model(), "input": "Say hello.", "max_output_tokens": 12, "temperature": 0, **options})

    def test_responses(self):
        r = self.respond()
        self.assertEqual(r.output_text, self.chat().choices[0].message.content)
        events = list(self.respond(stream=True))
        self.assertEqual([e.sequence_number for e in events], list(range(len(events))))
        self.assertEqual("".join(e.delta for e in events if e.type == "response.output_text.delta"), r.output_text)
        # The helper knows a final response only of answers that are complete.
        complete = {"model": model(), "input": "Say hello in five words.", "max_output_tokens": 200, "temperature": 0}
        with self.client.responses.stream(**complete) as stream:
            for _ in stream:
                pass
            self.assertEqual(stream.get_final_response().output_text, self.respond(**complete).output_text)
        tokens = self.respond(include=["message.output_text.logprobs"], top_logprobs=2).output[0].content[0].logprobs
        self.assertEqual(b"".join(bytes(t.bytes) for t in tokens).decode(), r.output_text)

    def test_tools_of_responses(self):
        tools = [{"type": "function", "strict": True, **TOOL["function"]}]
        options = {"input": WEATHER, "tools": tools, "tool_choice": "required", "max_output_tokens": 120, "parallel_tool_calls": False}
        (call,) = self.respond(**options).output
        self.assertIn("city", json.loads(call.arguments))
        with self.client.responses.stream(**{"model": model(), "temperature": 0, **options}) as stream:
            for _ in stream:
                pass
            self.assertEqual(stream.get_final_response().output[0].arguments, call.arguments)
        talk = [*WEATHER, call.to_dict(), {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny."}]
        self.assertTrue(self.respond(input=talk, tools=tools).output_text)

    def test_parsing_and_errors_of_responses(self):
        pydantic = importlib.import_module("pydantic")
        Person = pydantic.create_model("Person", name=(str, pydantic.Field(max_length=20)), age=(int, ...))
        parsed = self.client.responses.parse(model=model(), input="A person.", text_format=Person, max_output_tokens=200, temperature=0)
        self.assertIsInstance(parsed.output_parsed, Person)
        for options, param in (({"previous_response_id": "resp_1"}, "previous_response_id"), ({"background": True}, "background"),
                               ({"tools": [{"type": "web_search"}]}, "tools[0].type")):  # fmt: skip
            with self.assertRaises(self.module.BadRequestError) as e:
                self.respond(**options)
            self.assertEqual(e.exception.param, param)


class Mistral(Client):
    package = "mistralai"

    def setUp(self):
        super().setUp()
        kind = getattr(self.module, "Mistral", None) or importlib.import_module("mistralai.client").Mistral
        self.client = kind(api_key="none", server_url=url())

    def test_chat_and_its_stream(self):
        options = {"model": model(), "messages": HELLO, "max_tokens": 12, "temperature": 0, "random_seed": 4}
        whole = self.client.chat.complete(**options)
        text = whole.choices[0].message.content
        events = list(self.client.chat.stream(**options))
        self.assertEqual("".join(e.data.choices[0].delta.content or "" for e in events), text)
        self.assertEqual(events[-1].data.usage.completion_tokens, whole.usage.completion_tokens)

    def test_tools_and_their_stream(self):
        options = {"model": model(), "messages": WEATHER, "tools": [TOOL], "tool_choice": "any", "max_tokens": 120,
                   "random_seed": 1, "parallel_tool_calls": False}  # fmt: skip
        call = self.client.chat.complete(**options).choices[0].message.tool_calls[0]
        arguments = ""
        for e in self.client.chat.stream(**options):
            for piece in e.data.choices[0].delta.tool_calls or []:
                arguments += piece.function.arguments
        self.assertEqual(arguments, call.function.arguments)

    def test_prefix_and_embeddings(self):
        r = self.client.chat.complete(model=model(), messages=[*HELLO, {"role": "assistant", "content": "Hello, my", "prefix": True}],
                                      max_tokens=4)  # fmt: skip
        self.assertTrue(r.choices[0].message.content.startswith("Hello, my"))
        self.assertEqual(len(self.client.embeddings.create(model=model(), inputs=["a", "b"]).data), 2)

    def test_fim_is_refused_by_this_vocabulary(self):
        with self.assertRaises(Exception) as e:
            self.client.fim.complete(model=model(), prompt="a", suffix="b")
        self.assertEqual(e.exception.status_code, 400)


class Anthropic(Client):
    package = "anthropic"

    def setUp(self):
        super().setUp()
        self.client = self.module.Anthropic(base_url=url(), api_key="none", max_retries=0)

    def options(self, **more):
        """This version of the client has no arguments for sampling; a body may have them."""
        return {"model": model(), "messages": HELLO, "max_tokens": 12, "extra_body": {"temperature": 0}, **more}

    def test_messages(self):
        whole = self.client.messages.create(**self.options())
        with self.client.messages.stream(**self.options()) as stream:
            self.assertEqual("".join(stream.text_stream), whole.content[0].text)
            final = stream.get_final_message()
        self.assertEqual((final.usage.output_tokens, final.stop_reason), (whole.usage.output_tokens, whole.stop_reason))
        count = self.client.messages.count_tokens(model=model(), messages=HELLO).input_tokens
        self.assertEqual(count, whole.usage.input_tokens + (whole.usage.cache_read_input_tokens or 0))

    def test_continuing(self):
        talk = [*HELLO, {"role": "assistant", "content": "Hello"}]
        r = self.client.messages.create(**self.options(messages=talk, stop_sequences=["!", "."], max_tokens=100))
        self.assertFalse(r.content[0].text.startswith("Hello"))
        self.assertEqual((r.stop_reason, r.stop_sequence in ("!", ".")), ("stop_sequence", True))

    def test_tools(self):
        function = TOOL["function"]
        tool = {"name": function["name"], "description": function["description"], "input_schema": function["parameters"]}
        options = self.options(messages=WEATHER, tools=[tool], tool_choice={"type": "any"}, max_tokens=150)
        r = self.client.messages.create(**options)
        call = next(b for b in r.content if b.type == "tool_use")
        self.assertIn("city", call.input)
        with self.client.messages.stream(**options) as stream:
            final = stream.get_final_message()
        self.assertEqual([getattr(b, "input", None) for b in final.content], [getattr(b, "input", None) for b in r.content])
        result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "Sunny."}]}
        talk = [*WEATHER, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
        self.assertTrue(self.client.messages.create(**self.options(messages=talk, tools=[tool])).content)

    def test_errors(self):
        with self.assertRaises(self.module.BadRequestError) as e:
            self.client.messages.create(**self.options(max_tokens=0))
        self.assertEqual(e.exception.body["error"]["type"], "invalid_request_error")
        self.assertEqual(e.exception.request_id, e.exception.body["request_id"])
        with self.assertRaises(self.module.NotFoundError):
            self.client.messages.create(**self.options(model="no-such"))


class Ollama(Client):
    package = "ollama"

    def setUp(self):
        super().setUp()
        self.client = self.module.Client(host=url())

    def test_chat_and_generate(self):
        for ask, text in (
            (lambda **o: self.client.chat(model=model(), messages=HELLO, **o), lambda r: r.message.content),
            (lambda **o: self.client.generate(model=model(), prompt="Hi", **o), lambda r: r.response),
        ):
            options = {"temperature": 0, "num_predict": 12}
            whole, streamed = ask(options=options), list(ask(options=options, stream=True))
            self.assertEqual("".join(text(c) or "" for c in streamed), text(whole))
            self.assertEqual((streamed[-1].eval_count, streamed[-1].done_reason), (whole.eval_count, whole.done_reason))

    def test_tools_and_formats(self):
        def get_weather(city: str) -> str:
            """The weather in a city.

            Args:
                city: Its name
            """
            return city

        self.assertTrue(self.client.chat(model=model(), messages=WEATHER, tools=[get_weather], options={"num_predict": 12}).done)
        call = {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
        talk = [*WEATHER, {"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "tool_name": "get_weather", "content": "Sunny"}]
        self.assertTrue(self.client.chat(model=model(), messages=talk, tools=[get_weather], options={"num_predict": 12}).message.content)
        schema = {"type": "object", "properties": {"age": {"type": "integer", "maximum": 99}}, "required": ["age"]}
        r = self.client.chat(model=model(), messages=HELLO, format=schema, options={"temperature": 0, "num_predict": 200})
        self.assertEqual(list(json.loads(r.message.content)), ["age"])

    def test_models_and_embeddings(self):
        self.assertEqual([m.model for m in self.client.list().models], [model()])
        self.assertEqual([m.model for m in self.client.ps().models], [model()])
        self.assertIn("tools", self.client.show(model()).capabilities)
        self.assertEqual(len(self.client.embed(model=model(), input=["a", "b"]).embeddings), 2)
        self.assertTrue(self.client.embeddings(model=model(), prompt="a").embedding)

    def test_errors(self):
        for ask, status in (
            (lambda: self.client.chat(model="no-such", messages=HELLO), 404),
            (lambda: self.client.chat(model=model(), messages=HELLO, options={"temperature": -1}), 400),
            (lambda: self.client.pull("x"), 501),
            (lambda: self.client.delete("x"), 501),
        ):
            with self.assertRaises(self.module.ResponseError) as e:
                ask()
            self.assertEqual(e.exception.status_code, status)


class LangChain(Client):
    package = "langchain_openai"

    def test_chat_tools_and_structure(self):
        chat = self.module.ChatOpenAI(base_url=url("/v1"), api_key="none", model=model(), temperature=0, max_tokens=100, max_retries=0)
        self.assertTrue(chat.invoke("Say hello.").content)
        self.assertTrue("".join(str(c.content) for c in chat.stream("Say hello.")))
        called = chat.bind_tools([TOOL], tool_choice="required").invoke("What is the weather in Paris?")
        self.assertEqual(called.tool_calls[0]["name"], "get_weather")
        pydantic = importlib.import_module("pydantic")
        Person = pydantic.create_model("Person", name=(str, pydantic.Field(max_length=20)), age=(int, pydantic.Field(le=99)))
        self.assertIsInstance(chat.with_structured_output(Person, method="json_schema").invoke("A person."), Person)
        embed = self.module.OpenAIEmbeddings(base_url=url("/v1"), api_key="none", model=model(), check_embedding_ctx_length=False)
        self.assertEqual(len(embed.embed_documents(["a", "b"])), 2)


class Harness(Client):
    """lm-eval asks for log-probabilities of its own data, which needs no network."""

    package = "lm_eval"

    def test_local_completions(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "data.jsonl"), "w") as f:
                for question, right in (("The capital of France is", " Paris"), ("One, two, three,", " four")):
                    f.write(json.dumps({"question": question, "choices": [right, " banana"], "answer": 0}) + "\n")
            with open(os.path.join(folder, "tiny.yaml"), "w") as f:
                f.write("task: tiny\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: " + os.path.join(folder, "data.jsonl") +
                        "\ntest_split: test\noutput_type: multiple_choice\ndoc_to_text: '{{question}}'\ndoc_to_choice: '{{choices}}'\n"
                        "doc_to_target: '{{answer}}'\ntarget_delimiter: ''\nmetric_list:\n  - metric: acc\n")  # fmt: skip
            r = subprocess.run(
                [sys.executable, "-m", "lm_eval", "--model", "local-completions", "--tasks", "tiny", "--include_path", folder,
                 "--model_args", f"model={model()},base_url={url('/v1/completions')},tokenizer_backend=remote,num_concurrent=2",
                 "--output_path", os.path.join(folder, "out")],
                capture_output=True, text=True, timeout=300, env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": folder})  # fmt: skip
            self.assertEqual(r.returncode, 0, r.stdout[-2000:] + r.stderr[-4000:])
            self.assertRegex(r.stdout, r"\|acc *\|.*\| *1(\.0*)?\|")


if __name__ == "__main__":
    unittest.main()
