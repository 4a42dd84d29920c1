# bash completion for gale; printed by: gale help --completion bash
# Files whose names begin with a word as it is typed: its escapes and quotes are no part of a name.
_gale_files() {
  local typed=${1//\\/} name
  typed=${typed#[\"\']}
  while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -f -- "$typed")
}

_gale() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W 'run serve batch info tokenize detokenize constrain logits bench perplexity eval quantize synth list pull rm help --version --help' -- "$word"))
    return
  fi
  case $before in
    -t|--threads) return ;;
    -c|--context) return ;;
    --window) return ;;
    --kv) COMPREPLY=($(compgen -W 'f16 f32 q8' -- "$word")); return ;;
    --chunk) return ;;
    --cpu) COMPREPLY=($(compgen -W 'generic avx2 avxvnni avx512 amx neon' -- "$word")); return ;;
    --quant) COMPREPLY=($(compgen -W 'f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q4_k q5_k q6_k q4_k_s q4_k_m q5_k_m' -- "$word")); return ;;
    --override) return ;;
    -n|--predict) return ;;
    --temp) return ;;
    --top-k) return ;;
    --top-p) return ;;
    --min-p) return ;;
    --repeat-penalty) return ;;
    --repeat-last-n) return ;;
    --presence-penalty) return ;;
    --frequency-penalty) return ;;
    --dry-multiplier) return ;;
    --dry-base) return ;;
    --dry-allowed-length) return ;;
    --dry-penalty-last-n) return ;;
    --dry-sequence-breaker) return ;;
    --top-nsigma) return ;;
    --typical) return ;;
    --xtc-probability) return ;;
    --xtc-threshold) return ;;
    --mirostat) COMPREPLY=($(compgen -W '0 2' -- "$word")); return ;;
    --mirostat-lr) return ;;
    --mirostat-ent) return ;;
    --logit-bias) return ;;
    --min-tokens) return ;;
    -s|--seed) return ;;
    --stop) return ;;
    -f|--file) _gale_files "$word"; return ;;
    --system) return ;;
    --template) COMPREPLY=($(compgen -W 'chatml llama-3 llama-3.1 gemma zephyr llama-2 mistral-v1 mistral-v2 mistral-v3 mistral-v3-tekken mistral-v7 mistral-v7-tekken mistral-v11 mistral-v13 mistral-v15' -- "$word")); return ;;
    --session) _gale_files "$word"; return ;;
    --json-schema) _gale_files "$word"; return ;;
    --regex) return ;;
    --choice) return ;;
    --grammar) _gale_files "$word"; return ;;
    --check) _gale_files "$word"; return ;;
    --lines) _gale_files "$word"; return ;;
    --chat) _gale_files "$word"; return ;;
    --fim) return ;;
    --ids) _gale_files "$word"; return ;;
    --out) _gale_files "$word"; return ;;
    --type) COMPREPLY=($(compgen -W 'f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q4_k q5_k q6_k q4_k_s q4_k_m q5_k_m' -- "$word")); return ;;
    --ppl-stride) return ;;
    --chunks) return ;;
    --kl) _gale_files "$word"; return ;;
    --save) _gale_files "$word"; return ;;
    -p|--n-prompt) return ;;
    -n|--n-gen) return ;;
    -b|--batch) return ;;
    -d|--n-depth) return ;;
    -r|--repetitions) return ;;
    --plot) _gale_files "$word"; return ;;
    --scenario) return ;;
    --scale) return ;;
    --rate) return ;;
    --shots) return ;;
    --fewshot) _gale_files "$word"; return ;;
    --protocol) COMPREPLY=($(compgen -W 'lm-eval original' -- "$word")); return ;;
    --split) COMPREPLY=($(compgen -W 'test val' -- "$word")); return ;;
    --limit) return ;;
    --samples) _gale_files "$word"; return ;;
    --repeats) return ;;
    --completions) _gale_files "$word"; return ;;
    --rescore) _gale_files "$word"; return ;;
    --host) return ;;
    --port) return ;;
    --api-key) return ;;
    --api-key-file) return ;;
    --alias) return ;;
    --parallel) return ;;
    --queue) return ;;
    --queue-tokens) return ;;
    --kv-memory) return ;;
    --cache-dir) _gale_files "$word"; return ;;
    --cache-limit) return ;;
    --draft) _gale_files "$word"; return ;;
    --lookup) COMPREPLY=($(compgen -W 'on off' -- "$word")); return ;;
    --pooling) COMPREPLY=($(compgen -W 'mean last' -- "$word")); return ;;
    --shard) return ;;
    --drain) return ;;
    --header-timeout) return ;;
    --body-timeout) return ;;
    --stall-timeout) return ;;
    --max-body) return ;;
    --max-depth) return ;;
    --max-n) return ;;
    --max-stop) return ;;
    --max-tools) return ;;
    --max-connections) return ;;
    --cors) return ;;
    --allow-host) return ;;
  esac
  case ${COMP_WORDS[1]} in
    run) words='-t --threads -c --context --window --kv --chunk --cpu --quant --override --no-cache --no-memory-check -n --predict --temp --top-k --top-p --min-p --repeat-penalty --repeat-last-n --presence-penalty --frequency-penalty --dry-multiplier --dry-base --dry-allowed-length --dry-penalty-last-n --dry-sequence-breaker --top-nsigma --typical --xtc-probability --xtc-threshold --mirostat --mirostat-lr --mirostat-ent --logit-bias --min-tokens --ignore-eos -s --seed --stop -v --verbose -q --quiet -f --file --system --template --raw --session --json --json-schema --regex --choice --grammar -h --help' ;;
    serve) words='-t --threads -c --context --window --kv --chunk --cpu --quant --override --no-cache --no-memory-check -n --predict --temp --top-k --top-p --min-p --repeat-penalty -s --seed --stop -v --verbose -q --quiet --template --host --port --api-key --api-key-file --insecure-no-key --alias --parallel --queue --queue-tokens --kv-memory --cache-dir --cache-limit --no-prefix-cache --draft --lookup --pooling --drain --header-timeout --body-timeout --stall-timeout --max-body --max-depth --max-n --max-stop --max-tools --max-connections --cors --allow-host --no-web -h --help' ;;
    batch) words='-t --threads -c --context --window --kv --chunk --cpu --quant --override --no-cache --no-memory-check -n --predict --temp --top-k --top-p --min-p --repeat-penalty -s --seed --stop -v --verbose -q --quiet --template --parallel --kv-memory --cache-dir --cache-limit --no-prefix-cache --lookup --pooling --shard --max-depth --max-n --max-stop --max-tools -h --help' ;;
    info) words='-t --threads --cpu --override -v --verbose -q --quiet --tensors --json -h --help' ;;
    tokenize) words='-t --threads --cpu --override -v --verbose -q --quiet -f --file --template --bos --lines --chat --tools-generic --fim -h --help' ;;
    detokenize) words='-t --threads --cpu --override -v --verbose -q --quiet --lines --special -h --help' ;;
    constrain) words='-t --threads --cpu --override -v --verbose -q --quiet --json --json-schema --regex --choice --grammar --check -h --help' ;;
    logits) words='-t --threads -c --context --window --kv --chunk --cpu --quant --override --no-cache --no-memory-check -n --predict --temp --top-k --top-p --min-p --repeat-penalty -s --seed --stop -v --verbose -q --quiet --ids --out --last -h --help' ;;
    bench) words='-t --threads --window --kv --chunk --cpu --quant --override --no-cache --no-memory-check -s --seed -v --verbose -q --quiet --json -p --n-prompt -n --n-gen -b --batch -d --n-depth -r --repetitions --csv --markdown --plot --serve --scenario --scale --rate -h --help' ;;
    perplexity) words='-t --threads -c --context --window --kv --chunk --cpu --override --no-cache --no-memory-check -v --verbose -q --quiet -f --file --json --ids --ppl-stride --chunks --kl --save -h --help' ;;
    eval) words='-t --threads -c --context --window --kv --chunk --cpu --quant --override --no-cache --no-memory-check -n --predict --temp --top-p -s --seed -v --verbose -q --quiet --json -b --batch --shots --fewshot --protocol --split --limit --samples --resume --dry-run --repeats --no-share --completions --rescore --list -h --help' ;;
    quantize) words='-t --threads --override -v --verbose -q --quiet --type -h --help' ;;
    synth) words='-v --verbose -q --quiet --type -h --help' ;;
    list) words='-v --verbose -q --quiet --json --prune -h --help' ;;
    pull) words='-v --verbose -q --quiet -h --help' ;;
    rm) words='-v --verbose -q --quiet -h --help' ;;
    help) words='-h --help' ;;
  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$word"))
  elif [[ ${COMP_WORDS[1]} == help ]]; then
    COMPREPLY=($(compgen -W 'run serve batch info tokenize detokenize constrain logits bench perplexity eval quantize synth list pull rm help' -- "$word"))
  else
    local models=${XDG_CACHE_HOME:-$HOME/.cache}/gale/models
    COMPREPLY=($(compgen -W "$(command ls "$models" 2>/dev/null)" -- "$word"))
    _gale_files "$word"
  fi
}
complete -o filenames -F _gale gale
