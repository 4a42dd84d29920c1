/* Checks kernels on random shapes and values, with all memory before pages that fault: the portable C against double
 * precision, and every instruction set of this processor for the bits of the portable C. With --bench it times them. */
#include "check.h"

#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <strings.h>
#include <time.h>

static const kernel_op *const ops[] = {&op_linear, &op_attend, &op_rows, &op_probe};
enum { N_OPS = sizeof ops / sizeof *ops, SKIPPED = 77 };

/* ---- Cases ---- */

static check *running; /* for the handler of a fault */

void check_case(check *c, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(c->what, sizeof c->what, format, arguments);
  va_end(arguments);
  c->done++;
}

void check_that(check *c, bool ok, const char *format, ...) {
  if (ok || c->failed) return;
  c->failed = true;
  va_list arguments;
  va_start(arguments, format);
  printf("%s, seed %llu: ", c->what, (unsigned long long)c->seed);
  vprintf(format, arguments);
  printf("\n");
  va_end(arguments);
}

void check_same(check *c, const float *is, const float *should, size_t n, const char *name) {
  for (size_t i = 0; i < n && !c->failed; i++)
    check_that(c, same_float(is[i], should[i]), "%s %zu of %zu is %a (%08x), should be %a (%08x)", name, i, n,
               (double)is[i], float_to_bits(is[i]), (double)should[i], float_to_bits(should[i]));
}

/* A kernel that touches what it should not: says in which case. */
static void on_fault(int number) {
  static const char text[] = ": a fault (memory outside the arguments, or an unknown instruction)\n";
  (void)number;
  ssize_t written = write(STDOUT_FILENO, running->what, strlen(running->what));
  if (written >= 0) written = write(STDOUT_FILENO, text, sizeof text - 1);
  _exit(written < 0 ? 2 : 1);
}

/* ---- Timing ---- */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double timing_best(const timing *t, void (*run)(void *argument), void *argument) {
  double best = 1e30, start = now(), end;
  run(argument);
  do {
    double before = now();
    run(argument);
    end = now();
    if (end - before < best) best = end - before;
  } while (end - start < t->seconds);
  return best;
}

void timing_print(const char *what, double took, double bytes, double operations, double portable) {
  printf("%-52s %10.2f us", what, took * 1e6);
  char rate[2][32] = {"", ""};
  if (bytes > 0) snprintf(rate[0], sizeof rate[0], "%.2f GB/s", bytes / took * 1e-9);
  if (operations > 0) snprintf(rate[1], sizeof rate[1], "%.2f GOPS", operations / took * 1e-9);
  printf(" %12s %13s", rate[0], rate[1]);
  if (portable > 0) printf(" %7.2f x portable", portable / took);
  printf("\n");
  fflush(stdout);
}

/* ---- What the command line asks for ---- */

typedef struct options {
  const char *op, *type, *cpu; /* lists with commas; NULL: all */
  bool bench, emulate_amx;
  int cases;
  uint64_t seed;
  timing timing;
} options;

_Noreturn static void usage(void) {
  fputs("usage: check_kernels [--op OP] [--type TYPE] [--cpu LEVEL] [--cases N] [--seed N] [--emulate-amx]\n"
        "       check_kernels --bench [--op OP] [--type TYPE] [--cpu LEVEL] [--seconds S] [--threads N]\n"
        "                     [--rows N] [--cols N] [--tokens N] [--head-dim N]\n"
        "Checks the kernels of this processor, or times them. LEVEL: generic, avx2, avxvnni, avx512, amx, neon. OP, "
        "TYPE\n"
        "and LEVEL may be several, with commas between them.\n",
        stderr);
  for (int i = 0; i < N_OPS; i++) {
    fprintf(stderr, "%s:", ops[i]->name);
    for (int t = 0; t < ops[i]->n_types; t++) fprintf(stderr, " %s", ops[i]->type(t));
    fprintf(stderr, "\n");
  }
  exit(2);
}

static double number(const char *text, double least, double most) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end || !(value >= least && value <= most)) usage();
  return value;
}

static options read_options(int argc, char **argv) {
  static const struct option names[] = {
      {"op", 1, NULL, 'o'},          {"type", 1, NULL, 't'},     {"cpu", 1, NULL, 'c'},     {"bench", 0, NULL, 'b'},
      {"cases", 1, NULL, 'n'},       {"seed", 1, NULL, 's'},     {"rows", 1, NULL, 'r'},    {"cols", 1, NULL, 'l'},
      {"tokens", 1, NULL, 'k'},      {"head-dim", 1, NULL, 'd'}, {"seconds", 1, NULL, 'S'}, {"threads", 1, NULL, 'T'},
      {"emulate-amx", 0, NULL, 'e'}, {NULL, 0, NULL, 0}};
  options o = {.cases = 500, .seed = 1, .timing = {.seconds = 0.2, .threads = 1}};
  for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) switch (option) {
    case 'o':
      o.op = optarg;
      break;
    case 't':
      o.type = optarg;
      break;
    case 'c':
      o.cpu = optarg;
      break;
    case 'b':
      o.bench = true;
      break;
    case 'e':
      o.emulate_amx = true;
      break;
    case 'n':
      o.cases = (int)number(optarg, 1, 1e6);
      break;
    case 's':
      o.seed = (uint64_t)number(optarg, 0, 1e15);
      break;
    case 'r':
      o.timing.rows = (int64_t)number(optarg, 1, 1 << 24);
      break;
    case 'l':
      o.timing.cols = (int64_t)number(optarg, QUANT_BLOCK, 1 << 20);
      break;
    case 'k':
      o.timing.tokens = (int32_t)number(optarg, 1, 512);
      break;
    case 'd':
      o.timing.head_dim = (int32_t)number(optarg, 2, 512);
      break;
    case 'S':
      o.timing.seconds = number(optarg, 0.0001, 1000);
      break;
    case 'T':
      o.timing.threads = (int)number(optarg, 1, 1024);
      break;
    default:
      usage();
    }
  if (optind < argc) usage();
  return o;
}

/* ---- Running ---- */

/* Whether a list with commas names it; NULL names all. */
static bool wanted(const char *list, const char *name) {
  size_t length = strlen(name);
  for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
    if (strncasecmp(at, name, length) == 0 && (at[length] == ',' || at[length] == 0)) return true;
  return !list;
}

/* Whether an instruction set has its own kernel, and not that of a lower one. */
static bool is_own(const kernel_op *op, int type, cpu_isa isa, const cpu_kernels *kernels) {
  for (int l = CPU_GENERIC; l < (int)isa; l++) {
    cpu_kernels other;
    cpu_kernels_fill(&other, (cpu_isa)l);
    if (cpu_supports((cpu_isa)l) && !op->differs(&other, kernels, type)) return false;
  }
  return true;
}

/* Checks or times one type with one instruction set. False if it failed. */
static bool run(const options *o, const kernel_op *op, int type, cpu_isa isa) {
  cpu_kernels portable, kernels;
  cpu_kernels_fill(&portable, CPU_GENERIC);
  if (!o->emulate_amx || !emulated_amx(&kernels)) cpu_kernels_fill(&kernels, isa);
  bool own = is_own(op, type, isa, &kernels);
  if (o->bench) {
    timing t = o->timing;
    t.isa = isa, t.portable = &portable, t.kernels = &kernels;
    if (own) op->time(&t, type);
    return true;
  }
  void (*what)(check * c, int type) = isa == CPU_GENERIC ? op->exact : op->equal;
  if (!what || !own) return true;
  check c = {.isa = isa, .portable = &portable, .kernels = &kernels, .cases = o->cases, .seed = o->seed};
  running = &c;
  what(&c, type);
  if (c.done)
    printf("%s %s %s: %ld cases, %s\n", op->name, op->type(type), cpu_isa_name(isa), c.done,
           c.failed             ? "FAILED"
           : isa == CPU_GENERIC ? "within the bounds"
                                : "equal to the portable C");
  fflush(stdout);
  return !c.failed;
}

int main(int argc, char **argv) {
  options o = read_options(argc, argv);
  cpu_kernels emulated;
  if (o.emulate_amx && !emulated_amx(&emulated)) {
    puts("skipped: the kernels for AMX need AVX-512 beside its tiles");
    return SKIPPED;
  }
  int ran = 0, failed = 0;
  signal(SIGSEGV, on_fault);
  signal(SIGBUS, on_fault);
  signal(SIGILL, on_fault);
  for (int i = 0; i < N_OPS; i++)
    for (int t = 0; t < ops[i]->n_types && wanted(o.op, ops[i]->name); t++)
      for (int l = CPU_GENERIC; l < CPU_ISAS && wanted(o.type, ops[i]->type(t)); l++) {
        if (o.emulate_amx ? l != CPU_AMX : !wanted(o.cpu, cpu_isa_name((cpu_isa)l)) || !cpu_supports((cpu_isa)l))
          continue;
        ran++;
        failed += !run(&o, ops[i], t, (cpu_isa)l);
      }
  if (!ran) {
    fputs("check_kernels: this processor has no such kernel\n", stderr);
    usage();
  }
  if (failed) printf("%d of %d failed\n", failed, ran);
  return failed ? 1 : 0;
}
