#include "gale/commands/command.h"

#include "gale/cli/suggest.h"

#include <string.h>

enum {
  MAX_COMMANDS = 32,
};

#define COMMON                                                                                                         \
  OPTION_THREADS, OPTION_CONTEXT, OPTION_WINDOW, OPTION_KV, OPTION_CHUNK, OPTION_CPU, OPTION_QUANT, OPTION_OVERRIDE,   \
      OPTION_NO_CACHE, OPTION_NO_MEMORY_CHECK, OPTION_PREDICT, OPTION_TEMP, OPTION_TOP_K, OPTION_TOP_P, OPTION_MIN_P,  \
      OPTION_REPEAT_PENALTY, OPTION_SEED, OPTION_STOP, OPTION_VERBOSE, OPTION_QUIET
#define TALK OPTION_VERBOSE, OPTION_QUIET, OPTION_HELP
#define COMPUTING                                                                                                      \
  OPTION_CONTEXT, OPTION_WINDOW, OPTION_KV, OPTION_CHUNK, OPTION_THREADS, OPTION_CPU, OPTION_NO_CACHE,                 \
      OPTION_NO_MEMORY_CHECK, OPTION_OVERRIDE
#define OPENING OPTION_THREADS, OPTION_CPU, OPTION_OVERRIDE, TALK
/* What only `run` samples by. */
#define SAMPLING                                                                                                       \
  OPTION_REPEAT_LAST, OPTION_PRESENCE_PENALTY, OPTION_FREQUENCY_PENALTY, OPTION_DRY_MULTIPLIER, OPTION_DRY_BASE,       \
      OPTION_DRY_ALLOWED, OPTION_DRY_LAST, OPTION_DRY_BREAKER, OPTION_TOP_NSIGMA, OPTION_TYPICAL,                      \
      OPTION_XTC_PROBABILITY, OPTION_XTC_THRESHOLD, OPTION_MIROSTAT, OPTION_MIROSTAT_LR, OPTION_MIROSTAT_ENT,          \
      OPTION_LOGIT_BIAS, OPTION_MIN_TOKENS, OPTION_IGNORE_EOS
#define SERVING                                                                                                        \
  OPTION_HOST, OPTION_PORT, OPTION_API_KEY, OPTION_API_KEY_FILE, OPTION_INSECURE_NO_KEY, OPTION_ALIAS,                 \
      OPTION_PARALLEL, OPTION_QUEUE, OPTION_QUEUE_TOKENS, OPTION_KV_MEMORY, OPTION_DRAIN, OPTION_HEADER_TIMEOUT,       \
      OPTION_BODY_TIMEOUT, OPTION_STALL_TIMEOUT, OPTION_MAX_BODY, OPTION_MAX_DEPTH, OPTION_MAX_N, OPTION_MAX_STOP,     \
      OPTION_MAX_TOOLS, OPTION_MAX_CONNECTIONS, OPTION_CORS, OPTION_ALLOW_HOST, OPTION_NO_WEB, OPTION_NO_PREFIX_CACHE, \
      OPTION_CACHE_DIR, OPTION_CACHE_LIMIT, OPTION_DRAFT, OPTION_LOOKUP, OPTION_POOLING
#define TAKES(...)                                                                                                     \
  (const option_id[]) {                                                                                                \
    __VA_ARGS__, OPTION_COUNT                                                                                          \
  }

const option_id common_options[] = {COMMON, OPTION_COUNT};

const char model_help[] =
    "MODEL is a GGUF file (or the first of its shards), a Hugging Face directory, a Mistral directory "
    "(params.json, consolidated*.safetensors), the name of a model in gale's, Ollama's, Hugging Face's, LM Studio's or "
    "llama.cpp's store (gale list), as in ollama:mistral, hf:ORG/NAME[@REVISION][:TAG], lmstudio:PUBLISHER/MODEL, or "
    "shape:NAME[:layers=N][@TYPE] for synthetic weights of a published shape, e.g. shape:mistral-7b@q4_0.";

const command command_table[] = {
    {"run", "MODEL [PROMPT]", 1, 2,
     TAKES(COMMON, SAMPLING, OPTION_FILE, OPTION_SYSTEM, OPTION_TEMPLATE, OPTION_RAW, OPTION_SESSION,
           OPTION_JSON_SCHEMA, OPTION_JSON, OPTION_REGEX, OPTION_CHOICE, OPTION_GRAMMAR, OPTION_HELP),
     run_main, "; quote a prompt of several words", "answer a prompt, or chat on a terminal",
     "Answers PROMPT (or -f FILE, or standard input, also as '-') on standard output as it is generated. A model with "
     "a chat template gets it. One newline at the end of a prompt that is read from a file or a pipe is dropped.\n"
     "What a model thinks before it answers is dimmed on a terminal that has colours, unless NO_COLOR is set, and "
     "stands "
     "between [THINK] and [/THINK] elsewhere; a tool that it calls is shown as -> name(arguments).\n"
     "With --json-schema FILE, --json (any JSON object), --regex TEXT, --choice TEXT for each choice, or --grammar "
     "FILE "
     "answers satisfy that, at any temperature; one that -n cuts is the beginning of one that would.\n"
     "On a terminal without a prompt it is a chat: /help lists its commands, a trailing backslash or \"\"\" makes a "
     "message of several lines, Ctrl-R searches earlier lines, Ctrl-C stops the answer, Ctrl-D leaves. /save writes "
     "the conversation as the body of an OpenAI-style request, and /load takes any such body, tools included.\n"
     "--session FILE keeps a conversation with what was computed of it, so that the next run or chat goes on with it "
     "at "
     "once. A file of another model, type of cache or window is refused, and stays as it is."},
    {"serve", "MODEL", 1, 1, TAKES(COMMON, SERVING, OPTION_TEMPLATE, OPTION_HELP), serve_main, NULL,
     "serve a model over HTTP",
     "Answers the clients of OpenAI's, Mistral's, Anthropic's and Ollama's APIs, and serves a web page to chat with. "
     "When "
     "the model is loaded, 'gale: ready at ADDRESS' is written to standard error, also with -q. Options of sampling "
     "are "
     "for requests that say nothing.\nOther machines than this one are served only with a key (--api-key, "
     "--api-key-file, or GALE_API_KEY in the environment), which clients send as 'Authorization: Bearer KEY' or "
     "'x-api-key: KEY'. SIGTERM, or Ctrl-C, lets what runs go on for --drain seconds; a second Ctrl-C ends at once."},
    {"batch", "MODEL IN.jsonl OUT.jsonl", 3, 3,
     TAKES(COMMON, OPTION_SHARD, OPTION_PARALLEL, OPTION_KV_MEMORY, OPTION_MAX_DEPTH, OPTION_MAX_N, OPTION_MAX_STOP,
           OPTION_MAX_TOOLS, OPTION_NO_PREFIX_CACHE, OPTION_CACHE_DIR, OPTION_CACHE_LIMIT, OPTION_LOOKUP,
           OPTION_POOLING, OPTION_TEMPLATE, OPTION_HELP),
     batch_main, NULL, "answer the requests of a file",
     "Each line of IN is a request as OpenAI's batches have them: custom_id, method \"POST\", url (/v1/completions, "
     "/v1/chat/completions or /v1/embeddings) and body. Each gets a line in OUT, in the order in which they are done: "
     "custom_id, response with status_code and body, error. Started again, it goes on where it ended. --shard I/N "
     "takes "
     "every N-th line from the I-th on, for several machines.\n"
     "Ids, and seeds that are not given, come from the custom_id, created and cached_tokens are 0: OUT, sorted, is the "
     "same for any shards, threads and restarts. Status 1 if a line was bad or an answer is an error."},
    {"info", "MODEL", 1, 1, TAKES(OPENING, OPTION_TENSORS, OPTION_JSON), info_main, NULL,
     "hyperparameters, tokenizer, and memory of the KV cache",
     "Prints the model's hyperparameters, sizes, tokenizer and template, and the memory of its key/value cache by "
     "context: as it is, as it would be if every query head had keys and values of its own (without grouped-query "
     "attention), and with and without its sliding window. No weights are read."},
    {"tokenize", "MODEL [TEXT]", 1, 2,
     TAKES(OPENING, OPTION_FILE, OPTION_BOS, OPTION_LINES, OPTION_CHAT, OPTION_TOOLS_GENERIC, OPTION_TEMPLATE,
           OPTION_FIM),
     tokenize_main, "; quote a text of several words", "token ids of a text",
     "Prints the ids of TEXT (or -f FILE, or standard input) on one line. MODEL may be a tokenizer file alone: a "
     "SentencePiece model, tokenizer.json, or a GGUF file that holds only a vocabulary. Text never becomes a control "
     "token.\nWith --lines, each line of FILE is a JSON string and each line of output its ids. With --chat, a request "
     "that is refused prints nothing on standard output and the reason on standard error."},
    {"detokenize", "MODEL", 1, 1, TAKES(OPENING, OPTION_SPECIAL, OPTION_LINES), detokenize_main,
     "; the ids are read from standard input", "text of token ids",
     "Reads ids from standard input, separated by white space, and writes their exact bytes. Control tokens write "
     "nothing unless --special is given.\nWith --lines, each line of FILE holds ids and each line of output is a JSON "
     "array of strings: what a streaming client gets after each id, in whole characters, and then what is left."},
    {"constrain", "MODEL --check FILE", 1, 1,
     TAKES(OPENING, OPTION_JSON_SCHEMA, OPTION_JSON, OPTION_REGEX, OPTION_CHOICE, OPTION_GRAMMAR, OPTION_CHECK),
     constrain_main, "; the texts are given with --check", "check texts against a schema, regex or grammar",
     "Each line of FILE is a JSON string, a whole text. It is tokenized as it would be in an answer, and taken token "
     "by "
     "token by the constraint: --json-schema FILE, --json (any JSON object), --regex TEXT, --choice TEXT for each "
     "choice, "
     "or --grammar FILE. Each line of output says 'accepted', or 'refused at byte N' and why: the first token that may "
     "not come there, or an end where more is due.\nWith --json beside another constraint, each line of output is an "
     "object that also has the microseconds of compiling and of each mask. docs/CONSTRAINTS.md says what schemas, "
     "regular expressions and grammars may hold. A constraint that does not compile prints nothing on standard "
     "output."},
    {"logits", "MODEL --ids FILE --out OUT.npy", 1, 1, TAKES(COMMON, OPTION_IDS, OPTION_OUT, OPTION_LAST, OPTION_HELP),
     logits_main, NULL, "logits of given token ids, as a NumPy file",
     "Computes the logits at every position of the ids in FILE and writes them as a float32 array [n_tokens, "
     "vocab_size]. A checkpoint without a tokenizer will do. OUT.npy appears under its name only when it is whole."},
    {"bench", "MODEL...", 1, 8,
     TAKES(TALK, OPTION_N_PROMPT, OPTION_N_GEN, OPTION_BATCH, OPTION_N_DEPTH, OPTION_REPETITIONS, OPTION_JSON,
           OPTION_CSV, OPTION_MARKDOWN, OPTION_PLOT, OPTION_SERVE, OPTION_SCENARIO, OPTION_SCALE, OPTION_RATE,
           OPTION_SEED, OPTION_THREADS, OPTION_CPU, OPTION_WINDOW, OPTION_KV, OPTION_CHUNK, OPTION_QUANT,
           OPTION_OVERRIDE, OPTION_NO_CACHE, OPTION_NO_MEMORY_CHECK),
     bench_main, NULL, "speed, and how near it is to the machine's limit",
     "Measures each MODEL and prints the median of the repetitions, and how much of the machine's own limit that is: "
     "the time that reading weights and cache takes at the read bandwidth, or that the arithmetic takes at the peak of "
     "the instruction set, whichever is longer, over the time it took. Bandwidth and peaks are probed around every "
     "run on the same threads; the better of the two counts. 'of limit' takes the best pass of a probe, which lasts "
     "some milliseconds, 'of sustained' the median of the passes: what a machine that is shared, or slows down under "
     "load, keeps up. Run nothing else meanwhile. "
     "A model that fits into the caches may be faster than its limit.\n"
     "Prefill and decode are measured at every depth; batches of more than one, and prompts and answers after the "
     "first length, at the first depth. The positions before a test are not computed, but their cache is there and is "
     "read. A depth beyond the model's window is measured with the window and without. With several models, the last "
     "column compares each with the first.\n"
     "With --serve, requests are put to the engine that computes many together, as a server's clients would: "
     "clients-1, "
     "-4, -8 and -32 ask again as soon as they are answered; open has requests come at random; running compares 8 "
     "answers with bare steps of 8; long has a prompt of 4,000 tokens come while 8 answers stream; again asks the same "
     "prompt twice; shared asks 200 questions behind one beginning; editing, an answer that repeats most of its "
     "prompt, "
     "and prose compare drafts of tokens with none. Other prompts are random tokens, and answers have a given length. "
     "Printed are throughput, the median and the 99th percentile of the times to the first token and between tokens, "
     "and "
     "the share of prompts that did not have to be computed. docs/ENGINE.md defines all figures."},
    {"perplexity", "MODEL -f TEXT", 1, 1,
     TAKES(COMPUTING, TALK, OPTION_FILE, OPTION_IDS, OPTION_PPL_STRIDE, OPTION_CHUNKS, OPTION_KL, OPTION_SAVE,
           OPTION_JSON),
     perplexity_main, "; the text is given with -f", "perplexity of a text, and divergence from another model",
     "Cuts the text into passages of -c tokens (512 unless given), puts BOS in the place of each one's first token if "
     "the tokenizer adds it, and scores the second half of each, as llama.cpp does. Prints the perplexity with its "
     "standard error.\nWith --kl, also how far the model's distributions are from those of BASE at the same tokens: KL "
     "divergence, share of tokens where both find the same one likeliest, change of the probability of the text's "
     "own token. A saved BASE holds the text's tokens, so that -f may be left out. To compare settings of one model, "
     "--save under the one and --kl under the other. docs/EVALUATION.md defines all figures."},
    {"eval", "MODEL TASK=PATH...", 0, MAX_ARGUMENTS,
     TAKES(COMPUTING, TALK, OPTION_QUANT, OPTION_SHOTS, OPTION_FEWSHOT, OPTION_PROTOCOL, OPTION_SPLIT, OPTION_LIMIT,
           OPTION_SAMPLES, OPTION_RESUME, OPTION_DRY_RUN, OPTION_REPEATS, OPTION_TEMP, OPTION_TOP_P, OPTION_PREDICT,
           OPTION_SEED, OPTION_BATCH, OPTION_NO_SHARE, OPTION_COMPLETIONS, OPTION_RESCORE, OPTION_LIST, OPTION_JSON),
     eval_main, "; MODEL, or two of them to compare, come before TASK=PATH",
     "scores by published protocols, from local files",
     "Scores MODEL on the questions in local files: MMLU, GSM8K, HellaSwag, ARC, Winogrande, PIQA, BoolQ, TruthfulQA, "
     "completions for HumanEval, and any other choice among texts. --list says which files each task takes. Prompts "
     "and "
     "decisions are those of lm-evaluation-harness, or of MMLU's own script (--protocol original). Scores come with "
     "their standard errors and 95% intervals; -v adds MMLU's subjects. With two models, also how far they are apart "
     "on "
     "the same items, and on how many they differ.\n"
     "What prompts have in common is computed once. --samples FILE gets a line for each item as soon as it is done, "
     "and "
     "--resume goes on with it after an interruption, to the same bytes. The seed (-s) is that of the examples and of "
     "drawn answers, 1234 unless given; drawn answers have temperature 0.6 and top-p 0.95; at most 256 tokens are "
     "generated (1024 for humaneval) unless -n says otherwise. docs/EVALUATION.md has the protocols and figures."},
    {"quantize", "IN OUT.gguf --type TYPE", 2, 2, TAKES(TALK, OPTION_THREADS, OPTION_TYPE, OPTION_OVERRIDE),
     quantize_main, NULL, "write a model as a GGUF file of another type",
     "Writes the model IN as a GGUF file with its weights in TYPE: f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, "
     "q5_k, q6_k, or one of the mixes q4_k_s, q4_k_m, q5_k_m, which give some tensors a better type. The output matrix "
     "gets a better type too, and rows that do not fit a type's blocks a near one. The file appears under its name "
     "only "
     "when it is whole."},
    {"synth", "SHAPE OUT.gguf --type TYPE", 2, 2, TAKES(TALK, OPTION_TYPE), synth_main, NULL,
     "write a synthetic model of a published shape",
     "Writes synthetic weights of a published shape as a GGUF file. The file appears under its name only when it is "
     "whole."},
    {"list", "", 0, 0, TAKES(TALK, OPTION_JSON, OPTION_PRUNE), list_main, NULL,
     "list the models of this machine and the packed weights",
     "Lists the models in ${XDG_CACHE_HOME:-~/.cache}/gale/models and in the stores of Ollama, Hugging Face, LM Studio "
     "and llama.cpp, by the names that MODEL takes; the stores are read where they are. A file with several names is "
     "listed once. Of several GGUF files in one folder :TAG chooses, without it Q4_K_M, Q4_0, Q8_0 or the smallest.\n"
     "Then the packed weights in ${XDG_CACHE_HOME:-~/.cache}/gale/packed, which make the next start of a model fast: "
     "it "
     "then reads nothing else of the model than its header. They are checked when they are used, and made anew when "
     "the model has changed.\n"
     "They take up to half of the free space, at most 64 GiB; what was not used for longest is removed first. In the "
     "environment, GALE_CACHE_LIMIT sets another limit, e.g. 20G (0: the usual one), and GALE_CACHE_LEAST the size "
     "from which on models are kept (64M). --no-cache in other commands leaves them alone."},
    {"pull", "hf:ORG/NAME[@REVISION][:TAG]", 1, 1, TAKES(TALK), pull_main, NULL,
     "fetch a model from Hugging Face's hub",
     "Fetches the files of one model of the repository into the cache that Hugging Face's tools share, checks their "
     "hashes, and goes on where an earlier call ended. Of several GGUF files :TAG chooses, without it Q4_K_M, Q4_0, "
     "Q8_0 or the smallest; :native means Mistral's own files where both forms are there.\n"
     "In the environment, HF_TOKEN (or the token file of a login) is for models whose terms were accepted, HF_ENDPOINT "
     "names another hub, HF_HOME and HF_HUB_CACHE the cache, and with HF_HUB_OFFLINE=1 nothing is fetched."},
    {"rm", "NAME", 1, 1, TAKES(TALK), rm_main, NULL, "remove a model from gale's own folder",
     "Removes the folder NAME of ${XDG_CACHE_HOME:-~/.cache}/gale/models. Models of other stores are left to the tools "
     "that fetched them."},
    {"help", "[COMMAND]", 0, 1, TAKES(OPTION_HELP, OPTION_MAN, OPTION_COMPLETION), help_main, NULL,
     "say how gale or a command is used", "Prints this overview, or what a command does and the options it takes."},
    {0},
};

const command *command_find(const char *name) {
  for (const command *c = command_table; c->name; c++)
    if (strcmp(c->name, name) == 0) return c;
  return NULL;
}

const char *command_suggest(const char *name) {
  const char *names[MAX_COMMANDS + 1] = {0};
  for (size_t i = 0; i < MAX_COMMANDS && command_table[i].name; i++) names[i] = command_table[i].name;
  return suggest(name, names);
}
