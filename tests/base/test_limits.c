/* What the system grants, read from made-up trees of /proc and control groups. */
#include "base/cpu.h"
#include "base/limits.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char root[] = "/tmp/gale_limits_XXXXXX";

static void remove_tree(void) {
  char command[64];
  snprintf(command, sizeof command, "rm -rf '%s'", root);
  assert_int_equal(system(command), 0);
}

/* Writes a file below the root, with the folders that it needs. */
static void put(const char *path, const char *text) {
  char whole[512];
  snprintf(whole, sizeof whole, "%s%s", root, path);
  for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    assert_true(mkdir(whole, 0700) == 0 || errno == EEXIST);
    *slash = '/';
  }
  FILE *f = fopen(whole, "w");
  assert_non_null(f);
  fputs(text, f);
  assert_int_equal(fclose(f), 0);
}

static int new_root(void **state) {
  (void)state;
  strcpy(root + strlen(root) - 6, "XXXXXX");
  return mkdtemp(root) ? 0 : -1;
}

static int end_root(void **state) {
  (void)state;
  remove_tree();
  return 0;
}

#define V2_MOUNT "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

static void put_v2(const char *path) {
  char line[256];
  snprintf(line, sizeof line, "0::%s\n", path);
  put("/proc/self/cgroup", line);
  put("/proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/root rw\n" V2_MOUNT);
}

static void test_nothing_is_said(void **state) {
  (void)state;
  assert_int_equal(limits_processors(root), INT_MAX);
  assert_true(limits_memory(root) == UINT64_MAX);
}

static void test_v2_processors(void **state) {
  (void)state;
  put_v2("/app.slice/gale.service");
  put("/sys/fs/cgroup/app.slice/gale.service/cpu.max", "max 100000\n");
  assert_int_equal(limits_processors(root), INT_MAX);
  put("/sys/fs/cgroup/app.slice/cpu.max", "250000 100000\n"); /* 2.5 processors, of the group around */
  assert_int_equal(limits_processors(root), 3);
  put("/sys/fs/cgroup/app.slice/gale.service/cpu.max", "200000 100000\n");
  assert_int_equal(limits_processors(root), 2);
  put("/sys/fs/cgroup/app.slice/gale.service/cpu.max", "1000 100000\n"); /* a hundredth of one */
  assert_int_equal(limits_processors(root), 1);
}

static void test_bad_files_limit_nothing(void **state) {
  (void)state;
  static const char *const quotas[] = {"", "\n", "-5 100000\n", "0 100000\n", "100000 0\n", "x y\n", "100000\n"};
  put_v2("/a");
  for (size_t i = 0; i < sizeof quotas / sizeof *quotas; i++) {
    put("/sys/fs/cgroup/a/cpu.max", quotas[i]);
    assert_int_equal(limits_processors(root), INT_MAX);
  }
  put("/sys/fs/cgroup/a/cpu.max", "9223372036854775807 1\n");
  assert_int_equal(limits_processors(root), INT_MAX);
  put("/sys/fs/cgroup/a/cpu.max", "100000 100000\n");
  static const char *const cgroups[] = {"", "0\n", "0:\n", "0::\n", "0::a\n", "::/a\n", "1:cpu:/a\n"};
  for (size_t i = 0; i < sizeof cgroups / sizeof *cgroups; i++) {
    put("/proc/self/cgroup", cgroups[i]);
    assert_int_equal(limits_processors(root), INT_MAX);
  }
  put("/proc/self/cgroup", "0::/a\n");
  assert_int_equal(limits_processors(root), 1);
  static const char *const mounts[] = {"",      "30 23\n",     "30 23 0:26 / - cgroup2 cgroup2 rw\n",
                                       " - \n", "- cgroup2\n", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2\n"};
  for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++) {
    put("/proc/self/mountinfo", mounts[i]);
    assert_int_equal(limits_processors(root), INT_MAX);
  }
}

static void put_v1(const char *mounted) {
  char lines[512];
  put("/proc/self/cgroup", "9:name=systemd:/\n4:memory:/docker/abc\n1:cpuacct,cpu:/docker/abc\n0::/\n");
  snprintf(lines, sizeof lines,
           "32 31 0:29 %s /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
           "35 31 0:32 %s /sys/fs/cgroup/memory rw,relatime shared:9 master:3 - cgroup cgroup rw,memory\n",
           mounted, mounted);
  put("/proc/self/mountinfo", lines);
}

static void test_v1_processors(void **state) {
  (void)state;
  put_v1("/");
  put("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1\n");
  put("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
  assert_int_equal(limits_processors(root), INT_MAX);
  put("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "150000\n");
  assert_int_equal(limits_processors(root), 2);
  put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n");
  put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "50000\n");
  assert_int_equal(limits_processors(root), 1);
}

/* In a container the mount point is the group itself, while the path is still the one outside. */
static void test_container(void **state) {
  (void)state;
  put_v1("/docker/abc");
  put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n");
  put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000000\n");
  put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "400000\n");
  assert_int_equal(limits_processors(root), 3);
  assert_int_equal(limits_memory(root), 600000);
  put_v1("/somewhere/else");
  assert_int_equal(limits_processors(root), 3);
}

#define MEMINFO "MemTotal:       16000000 kB\nMemFree:         1000 kB\nMemAvailable:    8000 kB\nBuffers: 5 kB\n"

static void test_v2_memory(void **state) {
  (void)state;
  put("/proc/meminfo", MEMINFO);
  assert_int_equal(limits_memory(root), 8192000);
  put_v2("/a/b");
  put("/sys/fs/cgroup/a/b/memory.max", "max\n");
  put("/sys/fs/cgroup/a/b/memory.current", "5000000\n");
  assert_int_equal(limits_memory(root), 8192000);
  put("/sys/fs/cgroup/a/memory.max", "6000000\n");
  put("/sys/fs/cgroup/a/memory.current", "5500000\n");
  assert_int_equal(limits_memory(root), 500000);
  put("/sys/fs/cgroup/a/memory.stat", "anon 500000\nfile 5000000\ninactive_file 4000000\nactive_file 900000\n");
  assert_int_equal(limits_memory(root), 5400000);
  put("/sys/fs/cgroup/a/b/memory.max", "4000000\n");
  assert_int_equal(limits_memory(root), 0); /* used beyond what is allowed */
}

static void test_v1_memory(void **state) {
  (void)state;
  put("/proc/meminfo", MEMINFO);
  put_v1("/");
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "123\n");
  assert_int_equal(limits_memory(root), 8192000);
  put("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "3000000\n");
  put("/sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "2500000\n");
  put("/sys/fs/cgroup/memory/docker/abc/memory.stat",
      "inactive_file 1\nactive_file 1\ntotal_inactive_file 1000000\ntotal_active_file 500000\n");
  assert_int_equal(limits_memory(root), 2000000);
  put("/sys/fs/cgroup/memory/docker/abc/memory.stat", "total_inactive_file 99000000\n");
  assert_int_equal(limits_memory(root), 3000000);
}

static void test_this_system(void **state) {
  (void)state;
  assert_true(limits_processors("") >= 1);
  assert_true(limits_memory("") > 0);
  assert_true(cpu_count() >= 1 && cpu_count() <= limits_processors(""));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_nothing_is_said, new_root, end_root),
      cmocka_unit_test_setup_teardown(test_v2_processors, new_root, end_root),
      cmocka_unit_test_setup_teardown(test_bad_files_limit_nothing, new_root, end_root),
      cmocka_unit_test_setup_teardown(test_v1_processors, new_root, end_root),
      cmocka_unit_test_setup_teardown(test_container, new_root, end_root),
      cmocka_unit_test_setup_teardown(test_v2_memory, new_root, end_root),
      cmocka_unit_test_setup_teardown(test_v1_memory, new_root, end_root),
      cmocka_unit_test(test_this_system),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
